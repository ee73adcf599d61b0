#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "kernels/conv_algo.h"
#include "kernels/isa.h"
#include "nn/network.h"
#include "tools/bench_kernels.h"
#include "tools/bench_network.h"
#include "tools/bench_table.h"
#include "tools/bench_unlearn.h"
#include "tools/experiment.h"
#include "tools/machine.h"
#include "tools/say.h"
#include "tools/signals.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

using Row = std::vector<BenchTable::Cell>;

std::string format_of(const Settings& s) {
  const std::string& format = s.text("format");
  if (!s.flag("json")) return format;
  if (s.given("format") && format != "json")
    fail(ExitCode::usage, "--json and --format {}: one of them", format);
  return "json";
}

void print_table(const Settings& s, const BenchTable& table) {
  print_out(table.as(format_of(s)));
}

std::vector<BenchTable::Fact> machine_facts(const Settings& s) {
  return {{"threads", int64_t{thread_count()}, 0, "{} threads"},
          {"instruction_set", kernels::isa_name(), 0, "{}"},
          {"steps", s.integer("steps"), 0, "{} steps"}};
}

BenchTable::Fact conv_fact() {
  return {"conv_algo", kernels::conv_algo_name(kernels::conv_algo()), 0, "convolutions {}"};
}

std::vector<BenchTable::Fact> speed_facts(const MachineSpeed& machine) {
  return {{"peak_gflops", machine.gflops, 1, "peak {} GFLOP/s"},
          {"triad_gb_per_s", machine.gb_per_s, 1, "triad {} GB/s"}};
}

std::vector<BenchTable::Fact> gpu_facts(const Settings& s, double copy_gb_per_s) {
  return {{"device", computed_with(), 0, "on {}"},
          {"precision", s.text("precision"), 0, "{}"},
          {"copy_gb_per_s", copy_gb_per_s, 1, "copy {} GB/s"}};
}

// Of the memory's speed, as it was measured beside.
BenchTable::Column share_column() {
  return compute_stream().device == Device::cpu
             ? BenchTable::Column{"triad_percent", "% of triad", 0}
             : BenchTable::Column{"copy_percent", "% of copy", 0};
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

const std::vector<BenchTable::Column> kTimes = {
    {"median_ms", "ms", 3}, {"min_ms", "min", 3}, {"max_ms", "max", 3}};
Row cells(const Timing& t) {
  return {t.median_ms, t.min_ms, t.max_ms};
}

// --model, each once.
std::vector<std::string> models_of(const Settings& s) {
  std::vector<std::string> models;
  for (const std::string& model : s.list("model"))
    if (std::ranges::find(models, model) == models.end()) models.push_back(model);
  return models;
}

// The rows that --only names; a name that no row has is an error.
std::vector<KernelCase> chosen_of(const Settings& s, std::vector<KernelCase> rows) {
  std::vector<bool> chosen(rows.size(), s.list("only").empty());
  for (const std::string& part : s.list("only")) {
    bool found = false;
    for (size_t i = 0; i < rows.size(); ++i)
      if (rows[i].name().find(part) != std::string::npos) found = chosen[i] = true;
    if (found) continue;
    std::string kernels;
    for (size_t i = 0; i < rows.size(); ++i)
      if (i == 0 || rows[i].kernel != rows[i - 1].kernel)
        kernels += (kernels.empty() ? "" : ", ") + rows[i].kernel;
    fail(ExitCode::usage, "--only '{}': no row has it in its name; kernels are {}", part, kernels);
  }
  size_t at = 0;
  std::erase_if(rows, [&](const KernelCase&) { return !chosen[at++]; });
  return rows;
}

std::string layers_text(const std::map<std::string, int>& layers) {
  std::string text;
  for (const auto& [model, count] : layers)
    text += fmt::format("{}{}:{}", text.empty() ? "" : " ", model, count);
  return text;
}

// Milliseconds that a network's layers take by kernel, and together.
std::string layer_note(const std::string& model, const std::vector<KernelCase>& rows,
                       const std::vector<KernelResult>& results) {
  std::string text;
  double all = 0, of_kernel = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto found = rows[i].layers.find(model);
    if (found != rows[i].layers.end()) of_kernel += found->second * results[i].time.median_ms;
    if (i + 1 < rows.size() && rows[i + 1].kernel == rows[i].kernel) continue;
    if (of_kernel > 0)
      text += fmt::format("{}{} {:.2f}", text.empty() ? "" : ", ", rows[i].kernel, of_kernel);
    all += of_kernel, of_kernel = 0;
  }
  return fmt::format("{}, ms of all layers: {}; together {:.2f}", model, text, all);
}

// A gate that needs no forget set: there is none here.
unlearn::GateSpec gate_of(const std::string& text) {
  const unlearn::GateSpec gate = unlearn::GateSpec::parse(text);
  if (gate.row->uses.mask)
    fail(ExitCode::usage, "--gate {}: its mask is made of a forget set, and a benchmark has none",
         text);
  return gate;
}

}  // namespace

ExitCode run_bench_kernels(Settings& settings) {
  return bench_kernels(settings, kernel_cases);
}

ExitCode bench_kernels(const Settings& settings, const std::function<KernelCases>& cases) {
  apply_machine_options(settings);
  format_of(settings);
  const std::vector<KernelCase> rows =
      chosen_of(settings, cases(models_of(settings), settings.integer("batch-size")));
  const bool here = compute_stream().device == Device::cpu;
  const MachineSpeed machine = here ? machine_speed() : MachineSpeed{0, gpu_copy_gb_per_s()};
  BenchTable table{.name = "kernels", .facts = {}, .columns = {}, .rows = {}, .notes = {}};
  table.facts = {{"batch", settings.integer("batch-size"), 0, "batch {}"}};
  if (here) table.facts.push_back(conv_fact());
  append(table.facts, machine_facts(settings));
  append(table.facts, here ? speed_facts(machine) : gpu_facts(settings, machine.gb_per_s));
  table.columns = {{"kernel", "kernel", 0},
                   {"shape", "shape", 0},
                   {"layers", "layers", 0},
                   {"algo", "algorithm", 0}};
  append(table.columns, kTimes);
  table.columns.push_back({"gflops", "GFLOP/s", 1});
  if (here) table.columns.push_back({"peak_percent", "% of peak", 0});
  append(table.columns, {{"gb_per_s", "GB/s", 1}, share_column(), {"memory_mb", "memory MB", 1}});
  const TimedRows timed =
      time_rows(rows, {.warmup = static_cast<int>(settings.integer("warmup-steps")),
                       .steps = static_cast<int>(settings.integer("steps")),
                       .record = settings.text("graph") == "on"});
  for (size_t i = 0; i < timed.rows.size(); ++i) {
    const KernelCase& c = timed.rows[i];
    const KernelResult& r = timed.results[i];
    const double gflops = r.flops > 0 ? 1e-6 * r.flops / r.time.median_ms : std::nan("");
    const double gb_per_s = 1e-6 * r.bytes / r.time.median_ms;
    Row row = {c.kernel, c.shape, layers_text(c.layers), r.algo};
    append(row, cells(r.time));
    row.emplace_back(gflops);
    if (here) row.emplace_back(100 * gflops / machine.gflops);
    append(row, Row{gb_per_s, 100 * gb_per_s / machine.gb_per_s, r.memory_mb});
    table.rows.push_back(std::move(row));
  }
  table.notes = timed.notes;
  if (timed.code == ExitCode::done)  // sums of all layers
    for (const std::string& model : models_of(settings))
      table.notes.push_back(layer_note(model, timed.rows, timed.results));
  print_table(settings, table);
  return timed.code;
}

ExitCode run_bench_unlearn(Settings& settings) {
  apply_machine_options(settings);
  format_of(settings);
  BenchUnlearn options{.model = settings.text("model"),
                       .estimator = unlearn::EstimatorSpec::parse(settings.text("estimator")),
                       .steps = static_cast<int>(settings.integer("steps")),
                       .warmup = static_cast<int>(settings.integer("warmup-steps"))};
  const std::vector<std::string> gates = settings.list("gate");
  for (const std::string& gate : gates) gate_of(gate);
  BenchTable table{.name = "unlearn", .facts = {}, .columns = {}, .rows = {}, .notes = {}};
  const bool here = compute_stream().device == Device::cpu;
  table.columns = {{"gate", "gate", 0}};
  append(table.columns, kTimes);
  append(table.columns, {{"bytes_per_parameter", "B/parameter", 0},
                         {"gb_per_s", "GB/s", 1},
                         share_column(),
                         {"mparam_per_s", "Mparam/s", 0},
                         {"memory_mb", "memory MB", 1}});
  std::vector<BenchUnlearnResult> results;
  for (const std::string& gate : gates) {
    options.gate = gate_of(gate);
    results.push_back(bench_unlearn(options));
  }
  const double best = here ? triad_gb_per_s() : gpu_copy_gb_per_s();
  for (size_t i = 0; i < gates.size(); ++i) {
    const BenchUnlearnResult& r = results[i];
    Row row = {gates[i]};
    append(row, cells(r.time));
    append(row, Row{r.bytes_per_parameter, r.gb_per_s(), 100 * r.gb_per_s() / best,
                    r.mparam_per_s(), r.memory_mb});
    table.rows.push_back(std::move(row));
  }
  table.facts = {{"model", options.model, 0, "{}"},
                 {"estimator", settings.text("estimator"), 0, "estimator {}"},
                 {"parameters", results.front().parameters, 0, "{} parameters"}};
  append(table.facts, machine_facts(settings));
  append(table.facts,
         here ? std::vector<BenchTable::Fact>{{"triad_gb_per_s", best, 1, "triad {} GB/s"}}
              : gpu_facts(settings, best));
  print_table(settings, table);
  return ExitCode::done;
}

namespace {

BenchNetwork network_options(const Settings& settings) {
  return {.model = settings.text("model"),
          .batch_size = settings.integer("batch-size"),
          .steps = static_cast<int>(settings.integer("steps")),
          .warmup = static_cast<int>(settings.integer("warmup-steps")),
          .record = settings.text("graph") == "on"};
}

BenchNetwork step_options(const Settings& settings) {
  BenchNetwork options = network_options(settings);
  options.overlap = settings.text("overlap") == "on";
  return options;
}

// One row: the network's whole step or forward pass.
ExitCode run_bench_network(const Settings& settings, const char* name, const BenchNetwork& options,
                           BenchNetworkResult (*bench)(const BenchNetwork&)) {
  apply_machine_options(settings);
  format_of(settings);
  const bool here = compute_stream().device == Device::cpu;
  const double peak = here ? peak_gflops() : 0;
  const BenchNetworkResult r = bench(options);
  BenchTable table{.name = name, .facts = {}, .columns = {}, .rows = {}, .notes = {r.checked}};
  table.facts = machine_facts(settings);
  if (here)
    append(table.facts, {conv_fact(), {"peak_gflops", peak, 1, "peak {} GFLOP/s"}});
  else
    append(table.facts, {{"device", settings.text("device"), 0, "on {}"},
                         {"precision", settings.text("precision"), 0, "{}"}});
  table.columns = {{"model", "model", 0}, {"batch", "batch", 0}};
  append(table.columns, kTimes);
  append(table.columns, {{"images_per_s", "images/s", 1}, {"gflops", "GFLOP/s", 1}});
  if (here) table.columns.push_back({"peak_percent", "% of peak", 0});
  table.columns.push_back(here ? BenchTable::Column{"peak_rss_mb", "peak MB", 0}
                               : BenchTable::Column{"device_mb", "GPU MB", 0});
  const double gflops = 1e-6 * r.flops / r.time.median_ms;
  Row row = {options.model, options.batch_size};
  append(row, cells(r.time));
  append(row, Row{1e3 * static_cast<double>(options.batch_size) / r.time.median_ms, gflops});
  if (here) row.emplace_back(100 * gflops / peak);
  row.emplace_back(r.peak_mb);
  table.rows = {row};
  print_table(settings, table);
  return ExitCode::done;
}

}  // namespace

ExitCode run_bench_train(Settings& settings) {
  return run_bench_network(settings, "train", step_options(settings), bench_train);
}

ExitCode run_bench_infer(Settings& settings) {
  return run_bench_network(settings, "infer", network_options(settings), bench_infer);
}

ExitCode run_bench_step(Settings& settings) {
  BenchNetwork options = step_options(settings);
  options.joint = settings.text("passes") == "joint";
  options.method = settings.text("method");
  options.gate = settings.text("gate");
  gate_of(options.gate);
  options.estimator = settings.text("estimator");
  return run_bench_network(settings, "step", options, bench_step);
}

}  // namespace expunge::tools
