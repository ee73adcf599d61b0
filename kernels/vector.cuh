#pragma once

#include <type_traits>

#include "core/dtype.h"
#include "kernels/launch.h"

namespace expunge::kernels {

// V neighbouring numbers of a tensor, computed with as floats.
template <int V>
struct Floats {
  float v[V];
};
template <int V>
__device__ Floats<V> operator+(Floats<V> a, const Floats<V>& b) {
  for (int v = 0; v < V; ++v) a.v[v] += b.v[v];
  return a;
}
template <int V>
__device__ Floats<V> operator-(Floats<V> a, const Floats<V>& b) {
  for (int v = 0; v < V; ++v) a.v[v] -= b.v[v];
  return a;
}
template <int V>
__device__ Floats<V> operator*(float a, Floats<V> b) {
  for (int v = 0; v < V; ++v) b.v[v] *= a;
  return b;
}

// As many of T as the widest access moves, which is kAccess bytes.
inline constexpr int kAccess = 16;
template <class T>
inline constexpr int kVector = kAccess / sizeof(T);

// In memory, moved at once: at multiples of V T.
template <int V, class T>
struct alignas(V * sizeof(T)) Packed {
  T v[V];
};

// As it lies there, in as few registers: what several loads bring at once.
template <int V, class T>
__device__ Packed<V, T> load_packed(const T* from) {
  return *reinterpret_cast<const Packed<V, T>*>(from);
}
template <int V, class T>
__device__ Floats<V> floats_of(const Packed<V, T>& packed) {
  Floats<V> floats;
  for (int v = 0; v < V; ++v) floats.v[v] = to_float(packed.v[v]);
  return floats;
}
template <int V, class T>
__device__ Floats<V> load(const T* from) {
  return floats_of(load_packed<V>(from));
}
// Two floats as one number: nvcc stores many pairs number by number.
typedef uint64_t __attribute__((may_alias)) FloatPair;
template <int V, class T>
__device__ void store(T* to, const Floats<V>& floats) {
  if constexpr (V == 2 && std::is_same_v<T, float>) {
    const uint64_t high = __float_as_uint(floats.v[1]);
    *reinterpret_cast<FloatPair*>(to) = high << 32 | __float_as_uint(floats.v[0]);
  } else {
    Packed<V, T> packed;
    for (int v = 0; v < V; ++v) packed.v[v] = from_float<T>(floats.v[v]);
    *reinterpret_cast<Packed<V, T>*>(to) = packed;
  }
}

// Of a channel each, in floats, V of which may be more than the widest access: at multiples of 16
// bytes.
template <int V>
__device__ Floats<V> load_channels(const float* from) {
  constexpr int kPart = V < 4 ? V : 4;
  Floats<V> all;
  for (int at = 0; at < V; at += kPart) {
    const Floats<kPart> part = load<kPart>(from + at);
    for (int v = 0; v < kPart; ++v) all.v[at + v] = part.v[v];
  }
  return all;
}

// beta from; beta 0: there may be anything
template <int V, class T>
__device__ Floats<V> scaled(float beta, const T* from) {
  Floats<V> floats{};
  if (beta == 0.0f) return floats;
  floats = load<V>(from);
  for (int v = 0; v < V; ++v) floats.v[v] *= beta;
  return floats;
}

// to = beta to + floats; beta 0: there may be anything, NaN included
template <int V, class T>
__device__ void accumulate(float beta, T* to, Floats<V> floats) {
  if (beta != 0.0f) {
    const Floats<V> before = load<V>(to);
    for (int v = 0; v < V; ++v) floats.v[v] = beta * before.v[v] + floats.v[v];
  }
  store(to, floats);
}

// i / d and i % d. A division of 64 bits costs ten times one of 32, and that ten times what a power
// of two takes.
struct Division {
  int64_t quotient;
  unsigned remainder;
};
__device__ inline Division divided(int64_t i, unsigned d) {
  const auto n = static_cast<uint64_t>(i);
  if ((d & (d - 1)) == 0)
    return {static_cast<int64_t>(n >> (31 - __clz(static_cast<int>(d)))),
            static_cast<unsigned>(n & (d - 1))};
  if (n >> 32 == 0) {
    const auto few = static_cast<unsigned>(n);
    return {static_cast<int64_t>(few / d), few % d};
  }
  return {static_cast<int64_t>(n / d), static_cast<unsigned>(n % d)};
}

// The first of V channels in group i of (pixels, groups).
template <int V>
__device__ int64_t channel(int64_t i, unsigned groups) {
  return V * static_cast<int64_t>(divided(i, groups).remainder);
}

}  // namespace expunge::kernels
