#pragma once

#include "kernels/each.cuh"
#include "kernels/gates.h"
#include "kernels/gates_math.h"
#include "kernels/scan.cuh"

// Only for gates.cu: a radix select, which finds the element of a rank by counting digits of those
// that fit so far. All counts are whole numbers, so atomics may come in any order.
namespace expunge::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256, kWarp = 32, kAll = 0xffffffffu, kMostBlocks = 512;
constexpr int kDigitsOfThread = math::kMostDigits / kThreads;
constexpr int kClasses = 1 << 16;

// What a select knows so far.
struct Selection {
  int64_t rank;           // of the element that is looked for, among those that fit
  int64_t equal;          // how many are equal to it, at the end
  int64_t keep;           // fdr: how many fit
  int64_t risk;           // fdr: of those before the class
  uint32_t found, known;  // bits of it, and which of them are decided
  uint32_t next;          // the smallest larger element
};

// Memory to work in: a selection, its counts, what blocks have in common.
struct Workspace {
  Selection* state;
  unsigned *counts, *ties;
  unsigned long long* risks;  // fdr
};

template <bool kSize>
__device__ uint32_t key(float x) {
  return math::order_bits(kSize ? fabsf(x) : x);
}

__global__ void begin_kernel(Workspace w, int64_t n, int64_t keep) {
  start_kernel();
  if (threadIdx.x == 0) *w.state = {n - keep, 0, keep, 0, 0, 0, kAll};
  for (unsigned i = threadIdx.x; i < unsigned{math::kMostDigits}; i += kThreads) w.counts[i] = 0;
}

// body(i) for the elements of a thread of a grid that walks
template <class Body>
__device__ void walk(int64_t n, const Body& body) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * kThreads)
    body(i);
}
unsigned blocks_of(int64_t n) {
  const unsigned blocks = blocks_for(n, kThreads);
  return blocks < kMostBlocks ? blocks : kMostBlocks;
}

// counts[d] += how many elements with the decided bits have digit d
template <bool kSize>
__global__ void __launch_bounds__(kThreads)
    count_kernel(int64_t n, const float* x, math::Digit digit, Workspace w) {
  start_kernel();
  KERNEL_SHARED(unsigned, count, math::kMostDigits);
  for (unsigned i = threadIdx.x; i < unsigned{math::kMostDigits}; i += kThreads) count[i] = 0;
  __syncthreads();
  const uint32_t found = w.state->found, known = w.state->known, mask = (1u << digit.width) - 1;
  walk(n, [&](int64_t i) {
    const uint32_t bits = key<kSize>(x[i]);
    if ((bits & known) == found) atomicAdd(&count[bits >> digit.shift & mask], 1u);
  });
  __syncthreads();
  for (unsigned i = threadIdx.x; i < unsigned{math::kMostDigits}; i += kThreads)
    if (count[i] > 0) atomicAdd(&w.counts[i], count[i]);
}

// The digit that the rank falls into, which one thread has among its own; counts are 0 again.
__global__ void __launch_bounds__(kThreads) pick_kernel(math::Digit digit, Workspace w) {
  start_kernel();
  KERNEL_SHARED(int64_t, of_warp, kThreads / kWarp);
  const unsigned first = threadIdx.x * kDigitsOfThread;
  unsigned count[kDigitsOfThread];
  int64_t own = 0;
  for (unsigned k = 0; k < kDigitsOfThread; ++k) {
    own += count[k] = w.counts[first + k];
    w.counts[first + k] = 0;
  }
  const int64_t all = w.state->rank;
  int64_t rank = all - sum_before(own, of_warp);  // behind whose barrier all have read it
  if (rank < 0 || (rank >= own && threadIdx.x + 1 < kThreads)) return;
  unsigned d = 0;
  while (d + 1 < kDigitsOfThread && rank >= count[d]) rank -= count[d++];
  w.state->rank = rank;
  w.state->equal = count[d];
  w.state->found |= (first + d) << digit.shift;
  w.state->known |= ((1u << digit.width) - 1) << digit.shift;
}

// The element with `state.rank` smaller or equal ones before it, into state.found.
template <bool kSize>
void select(const StreamAt& stream, int64_t n, const float* x, const Workspace& w) {
  for (const math::Digit digit : math::kDigits) {
    launch(count_kernel<kSize>, blocks_of(n), kThreads, 0, stream, n, x, digit, w);
    launch(pick_kernel, 1, kThreads, 0, stream, digit, w);
  }
}

// The smallest element above the one that was found: a block's first, then of all.
__global__ void __launch_bounds__(kThreads) next_kernel(int64_t n, const float* x, Workspace w) {
  start_kernel();
  KERNEL_SHARED(uint32_t, least, 1);
  if (threadIdx.x == 0) least[0] = kAll;
  __syncthreads();
  const uint32_t found = w.state->found;
  uint32_t mine = kAll;
  walk(n, [&](int64_t i) {
    const uint32_t bits = key<true>(x[i]);
    if (bits > found && bits < mine) mine = bits;
  });
  if (mine < kAll) atomicMin(&least[0], mine);
  __syncthreads();
  if (threadIdx.x == 0 && least[0] < kAll) atomicMin(&w.state->next, least[0]);
}

}  // namespace
}  // namespace expunge::kernels::cuda
