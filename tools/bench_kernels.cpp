#include "tools/bench_kernels.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "core/memory.h"
#include "core/work_graph.h"
#include "tools/say.h"
#include "tools/signals.h"

namespace expunge::tools {

void add_case(std::vector<KernelCase>& rows, KernelCase row) {
  for (KernelCase& known : rows)
    if (known.kernel == row.kernel && known.shape == row.shape) {
      for (const auto& [model, count] : row.layers) known.layers[model] += count;
      return;
    }
  rows.push_back(std::move(row));
}

std::vector<KernelCase> kernel_cases(const std::vector<std::string>& models, int64_t batch_size) {
  std::vector<KernelCase> rows;
  add_conv_cases(rows, models, batch_size);
  add_winograd_cases(rows, models, batch_size);
  add_norm_cases(rows, models, batch_size);
  add_layer_cases(rows, models, batch_size);
  add_move_cases(rows, batch_size);
  add_flat_cases(rows, models);
  std::vector<std::string> order;  // rows of one kernel together
  for (const KernelCase& row : rows)
    if (std::ranges::find(order, row.kernel) == order.end()) order.push_back(row.kernel);
  std::ranges::stable_sort(
      rows, {}, [&](const KernelCase& row) { return std::ranges::find(order, row.kernel); });
  return rows;
}

namespace {

// On a GPU calls take turns on as many sets of buffers as its cache cannot hold, as the layers of a
// network do.
std::vector<KernelRun> with_sets(const KernelCase& row, const KernelRun& first) {
  constexpr double kBeyondCache = 256e6, kMostSets = 64;
  const bool on_cpu = compute_stream().device == Device::cpu;
  const double sets = on_cpu ? 1 : std::min(kMostSets, std::ceil(kBeyondCache / first.bytes));
  std::vector<KernelRun> runs = {first};
  while (static_cast<double>(runs.size()) < sets) runs.push_back(row.prepare(row.name()));
  return runs;
}

Timing time_graph(const std::vector<KernelRun>& runs, const KernelTiming& how) {
  const WorkGraph all(compute_stream(), [&] {
    for (const KernelRun& run : runs) run.call();
  });
  const Timing time = time_calls(how.warmup, how.steps, [&] { all.launch(); });
  const auto calls = static_cast<double>(runs.size());
  return {time.median_ms / calls, time.min_ms / calls, time.max_ms / calls};
}

// On a terminal: which row is being timed.
void show_place(size_t done, size_t rows, const std::string& name) {
  if (isatty(STDERR_FILENO) == 0) return;
  const std::string text = done < rows ? fmt::format("{} of {}: {}", done + 1, rows, name) : "";
  say("\r{:<78}{}", text.substr(0, 78), done < rows ? "" : "\r");
}

}  // namespace

KernelResult run_kernel_case(const KernelCase& row, const KernelTiming& how) {
  const Device device = compute_stream().device;
  pool_trim();
  const int64_t before = pool_stats(device).bytes_in_use;
  const KernelRun first = row.prepare(row.name());
  first.call();
  first.check();
  pool_restart_peak();
  first.call();
  const double memory_mb = mb_of(pool_stats(device).peak_bytes_in_use - before);
  const std::vector<KernelRun> runs = with_sets(row, first);
  size_t next = 0;
  const auto in_turn = [&] {
    runs[next].call();
    next = (next + 1) % runs.size();
  };
  const Timing time =
      device == Device::cuda && how.record && !first.waits
          ? time_graph(runs, how)
          : time_calls(std::max(how.warmup, static_cast<int>(runs.size())), how.steps, in_turn);
  return {time, first.algo, first.flops, first.bytes, memory_mb};
}

TimedRows time_rows(const std::vector<KernelCase>& rows, const KernelTiming& how) {
  TimedRows timed;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (stop_requested()) {
      timed.notes.push_back(fmt::format("stopped after {} of {} rows", i, rows.size()));
      timed.code = static_cast<ExitCode>(128 + stop_signal());
      break;
    }
    show_place(i, rows.size(), rows[i].name());
    try {
      timed.results.push_back(run_kernel_case(rows[i], how));
      timed.rows.push_back(rows[i]);
    } catch (const Error& wrong) {
      if (wrong.code() != ExitCode::verification) throw;
      show_place(rows.size(), rows.size(), "");
      say("expunge: {}\n", wrong.what());
      timed.notes.push_back(fmt::format("not timed, since it is wrong: {}", wrong.what()));
      timed.code = wrong.code();
    }
  }
  show_place(rows.size(), rows.size(), "");
  return timed;
}

void check_elements(const std::string& name, const Tensor& got, int64_t stride, double tolerance,
                    FunctionRef<double(int64_t)> expected) {
  for (int64_t i = 0; i < got.size(); i += stride) {
    const double want = expected(i), have = double{got.data()[i]};
    if (!(std::abs(have - want) <= tolerance * (1 + std::abs(want))))
      fail(ExitCode::verification, "bench kernels: {}: element {} is {}, expected {}", name, i,
           have, want);
  }
}

}  // namespace expunge::tools
