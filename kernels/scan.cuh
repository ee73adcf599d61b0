#pragma once

#include "kernels/launch.h"

namespace expunge::kernels {

// The sum of what threads before this one have, in their order. of_warp: shared, a number a warp,
// which nothing else uses.
template <class T>
__device__ T sum_before(T mine, T* of_warp) {
  constexpr unsigned kAll = 0xffffffffu, kLanes = 32;
  const unsigned lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  T sum = mine;
  for (unsigned by = 1; by < kLanes; by *= 2) {
    const T other = __shfl_up_sync(kAll, sum, by);
    if (lane >= by) sum = other + sum;
  }
  if (lane == kLanes - 1) of_warp[warp] = sum;
  const T before = __shfl_up_sync(kAll, sum, 1);
  __syncthreads();
  T base = 0;
  for (unsigned k = 0; k < warp; ++k) base += of_warp[k];
  return lane == 0 ? base : base + before;
}

}  // namespace expunge::kernels
