#include "tools/bench_measure.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "core/memory_cuda.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace expunge::tools {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kShortestMs = 1;
constexpr double kMostCalls = 10000;

double ms_of(int calls, FunctionRef<void()> run) {
  const auto start = Clock::now();
  for (int i = 0; i < calls; ++i) run();
  on_cuda(compute_stream(), [] { cuda_wait(compute_stream()); });
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count() / calls;
}

}  // namespace

Timing time_calls(int warmup, int steps, FunctionRef<void()> run) {
  double once = 0;
  for (int i = 0; i < warmup; ++i) once = ms_of(1, run);
  const int calls =
      once >= kShortestMs ? 1 : static_cast<int>(std::min(kMostCalls, 1 + kShortestMs / once));
  std::vector<double> ms;
  ms.reserve(static_cast<size_t>(steps));
  for (int i = 0; i < steps; ++i) ms.push_back(ms_of(calls, run));
  std::ranges::sort(ms);
  return {ms[ms.size() / 2], ms.front(), ms.back()};
}

MachineSpeed machine_speed() {
  return {.gflops = peak_gflops(), .gb_per_s = triad_gb_per_s()};
}

double triad_gb_per_s() {
  constexpr int64_t kElements = int64_t{32} << 20;
  const Tensor a({kElements}), b({kElements}), c({kElements});
  for (const Tensor& t : {a, b, c})
    parallel_ranges(kElements, [&](int64_t begin, int64_t end) {
      std::fill(t.data() + begin, t.data() + end, 1.0f);
    });
  const Timing time = time_calls(1, 9, [&] {
    parallel_ranges(kElements,
                    [x = a.data(), y = b.data(), z = c.data()](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) x[i] = y[i] + 3.0f * z[i];
                    });
  });
  return 12e-6 * static_cast<double>(kElements) / time.min_ms;
}

double gpu_copy_gb_per_s() {
  constexpr int64_t kElements = int64_t{64} << 20;
  const Tensor a({kElements}, DType::f32, compute_stream()),
      b({kElements}, DType::f32, compute_stream());
  a.zero();
  const Timing time = time_calls(1, 9, [&] { b.copy_from(a); });
  return 8e-6 * static_cast<double>(kElements) / time.min_ms;
}

// VmHWM; getrusage, where there is none, also knows the process that started this one.
int64_t peak_mb() {
  if (compute_stream().device == Device::cuda) return pool_stats(Device::cuda).bytes_held >> 20;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) >> 10;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss >> 10;
}

void fill_uniform(const Tensor& x, uint32_t key) {
  parallel_ranges(x.size(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const rng::Draw draw =
          rng::philox(0, rng::Purpose::test, {{static_cast<uint32_t>(i), key, 0, 0}});
      for (int64_t j = i; j < std::min(i + 4, end); ++j)
        x.data()[j] = 3.4f * rng::uniform(draw.word[j - i]) - 1.7f;
    }
  });
}

}  // namespace expunge::tools
