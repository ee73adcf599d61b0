#pragma once

#include <cmath>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/launch.h"

// The product of small matrices that a warp makes at once (tensor cores, from 8.0 on): D += A B
// with A (16, k), B (k, 8), and D (16, 8) in f32. All lanes come; lane 4 g + t has
//   d[2 i + h]                             D[g + 8 i][2 t + h]
// of T = bf16 or f16, k = 16, two numbers a word,
//   a[2 j + i], its half h                 A[g + 8 i][8 j + 2 t + h]
//   b[j], its half h                       B[8 j + 2 t + h][g]
// and of T = float, k = 8, whose upper 19 bits count (tf32),
//   a[2 j + i]                             A[g + 8 i][4 j + t]
//   b[j]                                   B[4 j + t][g]
// for i, j, h in {0, 1}; half 0 are the lower bits. Source: PTX ISA, "Matrix Fragments for
// mma.m16n8k16 with floating point type" and "... mma.m16n8k8". It and async_copy.cuh alone have
// assembly; on the CPU tests/cuda_on_cpu/language.h has the function.
#if defined(__CUDACC__)
#define MMA_16X8(shape, types)                                                   \
  asm volatile("mma.sync.aligned." shape ".row.col.f32." types                   \
               ".f32 "                                                           \
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                  \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
template <class T>
__device__ void mma_16x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, expunge::bf16>)
    MMA_16X8("m16n8k16", "bf16.bf16");
  else if constexpr (std::is_same_v<T, expunge::f16>)
    MMA_16X8("m16n8k16", "f16.f16");
  else
    MMA_16X8("m16n8k8", "tf32.tf32");
}
#undef MMA_16X8

// Four matrices of 8 x 8 numbers of 16 bits in shared memory, transposed: all lanes come, lane
// 8 q + r with row r of matrix q (8 numbers, at a multiple of 16 bytes), and lane 4 g + t gets of
// matrix q, half h of its word,
//   d[q]                                   S_q[2 t + h][g]
// which is what mma_16x8 wants of a matrix that lies the other way. Source: PTX ISA, "ldmatrix".
__device__ inline void load_transposed(uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
}
#endif

namespace expunge::kernels {

// Numbers of T in a word that tensor cores take.
template <class T>
inline constexpr int kNumbers = sizeof(uint32_t) / sizeof(T);

// For mma_16x8: the nearest number of tf32, of two as near the larger, in the upper 19 bits; what
// the others are does not count, so it is not to be rounded again. What is not finite stays.
__device__ inline uint32_t tf32_bits(float x) {
  constexpr uint32_t kHalf = 1u << 12;
  const uint32_t bits = math::bits_of_float(x);
  return fabsf(x) < HUGE_VALF ? bits + kHalf : bits;
}

// kNumbers<T> numbers as a word, the first in its lower half.
template <class T>
__device__ uint32_t word_of(const float* numbers) {
  if constexpr (kNumbers<T> == 2)
    return uint32_t{from_float<T>(numbers[0]).bits} | uint32_t{from_float<T>(numbers[1]).bits}
                                                          << 16;
  else
    return tf32_bits(numbers[0]);
}

}  // namespace expunge::kernels
