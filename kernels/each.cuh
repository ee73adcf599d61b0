#pragma once

#include <algorithm>
#include <initializer_list>

#include "kernels/vector.cuh"

namespace expunge::kernels {

constexpr unsigned kEachThreads = 256;

template <unsigned kThreads, class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(int64_t n, Body body) {
  start_kernel();
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

// V elements a thread, the last ones one by one. Body: as above, but with
//   template <int V> __device__ void at(int64_t i) const  for the V elements from i on.
template <int V, class Body>
struct ByVectors {
  int64_t n;
  Body body;
  __device__ void operator()(int64_t thread) const {
    int64_t i = V * thread;
    if (i + V <= n) return body.template at<V>(i);
    for (; i < n; ++i) body.template at<1>(i);
  }
};
template <int V, unsigned kThreads = kEachThreads, class Body>
void each_vector(const StreamAt& stream, int64_t n, const Body& body) {
  each<kThreads>(stream, (n + V - 1) / V, ByVectors<V, Body>{n, body});
}

// Whether all that a body may touch begins with a whole vector.
inline bool on_vectors(std::initializer_list<const void*> all) {
  return std::all_of(all.begin(), all.end(),
                     [](const void* p) { return reinterpret_cast<uintptr_t>(p) % kAccess == 0; });
}

}  // namespace expunge::kernels
