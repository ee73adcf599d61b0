#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "nn/network.h"
#include "support/error.h"
#include "tools/bench_kernels.h"
#include "tools/bench_table.h"

namespace expunge::tools {
namespace {

using test::contains;

// Networks with every operation: residual adds, strides, both poolings.
const std::vector<std::string> kModels = {"resnet18", "vgg16_bn", "smallcnn"};

TEST_CASE("bench kernels: every row's first result passes its check, a wrong one does not") {
  int64_t refused = 0;
  for (const KernelCase& row : kernel_cases({"smallcnn"}, 3)) {
    CAPTURE(row.name());
    const KernelRun run = row.prepare(row.name());
    run.call();
    CHECK(test::error_text(run.check) == "no error");
    CHECK(run.bytes > 0);
    if (!run.result) continue;  // grad_alignment: check_update has buffers of its own
    // one part in a thousand, away from 0
    for (float& v : run.result.span()) v += v < 0 ? -1e-3f * (1 - v) : 1e-3f * (1 + v);
    const std::string text = test::error_text(run.check);
    CHECK(contains(text, "bench kernels: " + row.name()));
    CHECK(contains(text, "expected"));
    CHECK(test::error_code(run.check) == ExitCode::verification);
    ++refused;
  }
  CHECK(refused > 20);
}

TEST_CASE("bench kernels: a row whose result is wrong is left out, and the others are timed") {
  std::vector<KernelCase> rows = kernel_cases({"smallcnn"}, 2);
  std::erase_if(rows, [](const KernelCase& row) { return row.kernel != "softmax_xent"; });
  REQUIRE(rows.size() == 1);
  const KernelCase right = rows.front();
  KernelCase wrong = right;
  wrong.prepare = [=](const std::string& name) {
    KernelRun run = right.prepare(name);
    run.check = [=] { fail(ExitCode::verification, "bench kernels: {}: it is wrong", name); };
    return run;
  };
  const TimedRows timed = time_rows({right, wrong, right}, {.warmup = 1, .steps = 1});
  CHECK(timed.results.size() == 2);
  CHECK(timed.rows.size() == 2);
  REQUIRE(timed.notes.size() == 1);
  CHECK(contains(timed.notes.front(), "not timed, since it is wrong: bench kernels: softmax_xent"));
  CHECK(timed.code == ExitCode::verification);
  wrong.prepare = [](const std::string&) -> KernelRun { fail(ExitCode::memory, "none left"); };
  CHECK(test::error_code([&] { time_rows({wrong}, {.warmup = 1, .steps = 1}); }) ==
        ExitCode::memory);  // nobody knows whether others would run
}

TEST_CASE("bench kernels: a convolution with one term left out is refused") {
  const kernels::Conv2dShape s{.N = 2, .H = 6, .W = 5, .C = 7, .K = 9, .R = 3, .S = 3, .pad = 1};
  const Tensor x({s.N, s.H, s.W, s.C}), w({s.K, s.R, s.S, s.C}), y({s.N, s.P(), s.Q(), s.K});
  fill_uniform(x, 1), fill_uniform(w, 2);
  const auto check = [&] {
    check_conv("here", Direction::forward, s, {x.data(), w.data(), nullptr, y.data()});
  };
  kernels::conv2d({}, s, x.data(), w.data(), nullptr, y.data());
  CHECK(test::error_text(check) == "no error");
  const Tensor less = w.clone();
  for (int64_t k = 0; k < s.K; ++k) less.data()[(k * 9 + 4) * s.C + 3] = 0;  // the window's centre
  kernels::conv2d({}, s, x.data(), less.data(), nullptr, y.data());
  CHECK(test::error_code(check) == ExitCode::verification);
  for (float& v : y.span()) v = std::nanf("");
  CHECK(test::error_code(check) == ExitCode::verification);
}

TEST_CASE("bench kernels: every layer of a network stands in one row of each direction") {
  for (const std::string& model : kModels) {
    CAPTURE(model);
    const size_t layers = nn::make_model(model, {}).trace().conv2d.size();
    std::map<Direction, size_t> count;
    for (const ConvCase& row : conv_cases(kModels, 2))
      if (const auto found = row.layers.find(model); found != row.layers.end())
        count[row.direction] += static_cast<size_t>(found->second);
    CHECK(count[Direction::forward] == layers);
    CHECK(count[Direction::backward_data] == layers - 1);  // the images need no gradient
    CHECK(count[Direction::backward_weights] == layers);
  }
  std::set<std::string> names;
  for (const KernelCase& row : kernel_cases(kModels, 2)) CHECK(names.insert(row.name()).second);
  for (const char* name :
       {"conv2d forward 64-128 32x32 k3 s2", "linear backward data 512-10",
        "batch_norm backward 2048x64 add relu", "batch_norm forward 2048x64 relu max_pool",
        "max_pool2d forward 64 32x32 k2 s2", "average_pool2d backward 512 4x4 to 1x1",
        "softmax_xent 2x10", "adam_step resnet18 11173962 parameters",
        "grad_alignment focus vgg16_bn 15311818 parameters"})
    CHECK_MESSAGE(names.contains(name), name);
}

TEST_CASE("bench kernels: a result has the row's times and memory") {
  for (const KernelCase& row : kernel_cases({"smallcnn"}, 2)) {
    if (row.kernel != "conv2d forward") continue;
    const KernelResult r = run_kernel_case(row, {.warmup = 1, .steps = 3});
    CHECK((0 < r.time.min_ms && r.time.min_ms <= r.time.median_ms));
    CHECK(r.time.median_ms <= r.time.max_ms);
    CHECK(r.memory_mb * (1 << 20) >= r.bytes);
    CHECK(r.memory_mb < 64);
  }
}

TEST_CASE("bench: calls shorter than the clock can tell are timed together") {
  int calls = 0;
  const Timing time = time_calls(1, 3, [&] { ++calls; });
  CHECK(calls > 100);
  CHECK(time.median_ms < 1);
}

TEST_CASE("bench table: one content in three formats") {
  const BenchTable table{
      .name = "x",
      .facts = {{"threads", int64_t{2}, 0, "{} threads"}, {"peak", 1.5, 1, "peak {}"}},
      .columns = {{"row", "row", 0}, {"ms", "ms", 2}, {"gflops", "GFLOP/s", 1}},
      .rows = {{"a, \"b\"", 1.0 / 3, 2.25}, {"c", 2.0, std::nan("")}},
      .notes = {"a note"}};
  CHECK(table.as("md") ==
        "2 threads, peak 1.5\n\n| row | ms | GFLOP/s |\n|---|---:|---:|\n"
        "| a, \"b\" | 0.33 | 2.2 |\n| c | 2.00 | - |\n\na note\n");
  CHECK(table.as("csv") ==
        "threads,peak,row,ms,gflops\n2,1.5000,\"a, \"\"b\"\"\",0.33333,2.2500\n"
        "2,1.5000,c,2.00000,\n");
  const auto json = nlohmann::json::parse(table.as("json"));
  CHECK(json["schema"] == "expunge.bench/2");
  CHECK(json["name"] == "x");
  CHECK(json["threads"] == 2);
  CHECK(json["rows"][0]["row"] == "a, \"b\"");
  CHECK(json["rows"][0]["ms"] == 0.33333);
  CHECK(json["rows"][1]["gflops"].is_null());
}

}  // namespace
}  // namespace expunge::tools
