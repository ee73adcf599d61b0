#pragma once

#include "core/dtype.h"
#include "kernels/launch.h"

// The product of small matrices that a warp makes at once (tensor cores, from 8.0 on): D += A B
// with A (16, 16), B (16, 8) of T, which is bf16 or f16, and D (16, 8) in f32. Of these lane 4 g +
// t has
//   a[2 j + i], its half h   A[g + 8 i][8 j + 2 t + h]
//   b[j], its half h         B[8 j + 2 t + h][g]
//   d[2 i + h]               D[g + 8 i][2 t + h]
// for i, j, h in {0, 1}; half 0 are the lower bits. All lanes come. Source: PTX ISA, "Matrix
// Fragments for mma.m16n8k16 with floating point type". This file alone has assembly: the order in
// which the hardware sums has no other bits that a CPU could follow.
#if defined(__CUDACC__)
template <class T>
__device__ void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, expunge::bf16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

namespace expunge::kernels {

// Two numbers as the halves of a word; `low` is half 0.
template <class T>
__device__ uint32_t halves(T low, T high) {
  return uint32_t{low.bits} | uint32_t{high.bits} << 16;
}

}  // namespace expunge::kernels
