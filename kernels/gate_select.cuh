#pragma once

#include "kernels/gates_math.h"
#include "kernels/scan.cuh"

// A radix select: the element of a rank is found by counting digits of those that fit so far, three
// times. All counts are whole numbers, so atomics may come in any order.
namespace expunge::kernels::cuda {

// What a select knows so far.
struct Selection {
  int64_t rank;                   // of the element that is looked for, among those that fit
  int64_t equal = 0;              // how many are equal to it, at the end
  uint32_t found = 0, known = 0;  // bits of it, and which of them are decided
};

struct Select {
  static constexpr unsigned kThreads = 256, kWarps = kThreads / 32;
  static constexpr unsigned kCounts = math::kMostDigits, kOwn = kCounts / kThreads;

  // The elements of a block: keys(count) calls count(key) for those of each thread. counts[d] +=
  // how many with the decided bits have digit d. of_block: (kCounts), shared.
  template <class Keys>
  __device__ static void count(const Selection& s, math::Digit digit, const Keys& keys,
                               unsigned* of_block, unsigned* counts) {
    for (unsigned i = threadIdx.x; i < kCounts; i += kThreads) of_block[i] = 0;
    __syncthreads();
    const uint32_t found = s.found, known = s.known, mask = (1u << digit.width) - 1;
    keys([&](uint32_t key) {
      if ((key & known) == found) atomicAdd(&of_block[key >> digit.shift & mask], 1u);
    });
    __syncthreads();
    for (unsigned i = threadIdx.x; i < kCounts; i += kThreads)
      if (of_block[i] > 0) atomicAdd(&counts[i], of_block[i]);
  }

  // The digit that the rank falls into, which one thread has among its own; counts are 0 again.
  // of_warp: (kWarps), shared.
  __device__ static void pick(Selection& s, math::Digit digit, int64_t* of_warp, unsigned* counts) {
    unsigned count[kOwn];
    unsigned d = threadIdx.x * kOwn;
    int64_t own = 0;
    for (unsigned k = 0; k < kOwn; ++k) own += count[k] = counts[d + k], counts[d + k] = 0;
    int64_t rank = s.rank;
    rank -= sum_before(own, of_warp);  // behind whose barrier all have read it
    if (rank < 0 || (rank >= own && threadIdx.x + 1 < kThreads)) return;
    unsigned k = 0;
    while (k + 1 < kOwn && rank >= count[k]) rank -= count[k++];
    s.rank = rank;
    s.equal = count[k];
    s.found |= (d + k) << digit.shift;
    s.known |= ((1u << digit.width) - 1) << digit.shift;
  }
};

}  // namespace expunge::kernels::cuda
