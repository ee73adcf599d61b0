#pragma once

#include <cstdint>

#include "core/function_ref.h"
#include "core/tensor.h"

// What every benchmark needs: a clock, data, and what this machine can do at best.
namespace expunge::tools {

struct Timing {
  double median_ms, min_ms, max_ms;
};

// `run` first `warmup` (>= 1) times, then `steps` times by the clock, each until the GPU has done
// what was queued. Calls shorter than a millisecond are timed several together, and a step is their
// mean.
Timing time_calls(int warmup, int steps, FunctionRef<void()> run);

struct MachineSpeed {
  double gflops;    // multiply-adds in registers on the current instruction set, all threads
  double gb_per_s;  // triad: a = b + 3 c over 128 MiB buffers, 12 bytes an element
};
// The best of several passes each: all percentages of a run refer to it.
MachineSpeed machine_speed();
double peak_gflops();
double triad_gb_per_s();
// A copy of 256 MiB in a GPU's memory, read and written: 8 bytes an element.
double gpu_copy_gb_per_s();

constexpr double mb_of(int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}
// MiB: resident, the most that this process had so far; where a GPU computes, what the pool holds
// of its memory, cached blocks too.
int64_t peak_mb();

// Uniform in [-1.7, 1.7), variance about 1; `key` tells buffers apart.
void fill_uniform(const Tensor& x, uint32_t key);

}  // namespace expunge::tools
