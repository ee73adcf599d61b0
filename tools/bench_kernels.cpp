#include "tools/bench_kernels.h"

#include <algorithm>
#include <cmath>

#include "core/memory.h"

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
  add_layer_cases(rows, models, batch_size);
  add_flat_cases(rows, models);
  std::vector<std::string> order;  // rows of one kernel together
  for (const KernelCase& row : rows)
    if (std::ranges::find(order, row.kernel) == order.end()) order.push_back(row.kernel);
  std::ranges::stable_sort(
      rows, {}, [&](const KernelCase& row) { return std::ranges::find(order, row.kernel); });
  return rows;
}

KernelResult run_kernel_case(const KernelCase& row, int warmup, int steps) {
  pool_trim();
  const int64_t before = pool_stats().bytes_in_use;
  const KernelRun run = row.prepare(row.name());
  run.call();
  run.check();
  pool_restart_peak();
  const Timing time = time_calls(warmup, steps, run.call);
  return {time, run.algo, run.flops, run.bytes, mb_of(pool_stats().peak_bytes_in_use - before)};
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
