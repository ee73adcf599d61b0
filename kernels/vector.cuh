#pragma once

#include "kernels/launch.h"

namespace expunge::kernels {

// V neighbouring floats, moved at once. Addresses: multiples of V floats.
template <int V>
struct alignas(V * sizeof(float)) Floats {
  float v[V];
};

template <int V>
__device__ Floats<V> load(const float* from) {
  return *reinterpret_cast<const Floats<V>*>(from);
}
template <int V>
__device__ void store(float* to, const Floats<V>& floats) {
  *reinterpret_cast<Floats<V>*>(to) = floats;
}

// to = beta to + floats; beta 0: there may be anything, NaN included
template <int V>
__device__ void accumulate(float beta, float* to, Floats<V> floats) {
  if (beta != 0.0f) {
    const Floats<V> before = load<V>(to);
    for (int v = 0; v < V; ++v) floats.v[v] = beta * before.v[v] + floats.v[v];
  }
  store(to, floats);
}

// The first of V channels in group i of (pixels, groups): 32 bits where they do, 64 cost ten times
// as much.
template <int V>
__device__ int64_t channel(int64_t i, unsigned groups) {
  const uint64_t n = static_cast<uint64_t>(i);
  return V * static_cast<int64_t>(n >> 32 == 0 ? static_cast<unsigned>(n) % groups : n % groups);
}

}  // namespace expunge::kernels
