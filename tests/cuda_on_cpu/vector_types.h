#pragma once

// CUDA's vector types with their alignment, by which the sanitizer and the race check find
// misaligned vector accesses.
#define CUDA_ON_CPU_VECTOR2(T, V, bytes) \
  struct alignas(bytes) V {              \
    T x, y;                              \
  };                                     \
  inline V make_##V(T x, T y) {          \
    return {x, y};                       \
  }
#define CUDA_ON_CPU_VECTOR4(T, V, bytes)  \
  struct alignas(bytes) V {               \
    T x, y, z, w;                         \
  };                                      \
  inline V make_##V(T x, T y, T z, T w) { \
    return {x, y, z, w};                  \
  }

CUDA_ON_CPU_VECTOR2(int, int2, 8)
CUDA_ON_CPU_VECTOR2(unsigned, uint2, 8)
CUDA_ON_CPU_VECTOR2(float, float2, 8)
CUDA_ON_CPU_VECTOR2(double, double2, 16)
CUDA_ON_CPU_VECTOR4(unsigned char, uchar4, 4)
CUDA_ON_CPU_VECTOR4(int, int4, 16)
CUDA_ON_CPU_VECTOR4(unsigned, uint4, 16)
CUDA_ON_CPU_VECTOR4(float, float4, 16)
#undef CUDA_ON_CPU_VECTOR2
#undef CUDA_ON_CPU_VECTOR4

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
