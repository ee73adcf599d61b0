#pragma once

#include "kernels/launch.h"

namespace expunge::kernels {

constexpr unsigned kEachThreads = 256;

template <unsigned kThreads, class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(int64_t n, Body body) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) body(i);
}

// body(i) for each i in [0, n), a thread each. Body: a struct of device pointers and numbers with
// __device__ void operator()(int64_t i) const.
template <unsigned kThreads = kEachThreads, class Body>
void each(const StreamAt& stream, int64_t n, const Body& body) {
  if (n == 0) return;
  launch(each_kernel<kThreads, Body>, blocks_for(n, kThreads), kThreads, 0, stream, n, body);
}

}  // namespace expunge::kernels
