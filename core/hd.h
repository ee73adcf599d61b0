#pragma once

// EXPUNGE_HD marks a function that CPU loops and CUDA kernels share. On the host it is static and
// always inlined, so that objects compiled for different instruction sets (or instrumented ones)
// never share a weak symbol: the linker would keep one copy for all of them. tests/symbols_test.sh
// looks at the objects. EXPUNGE_MEMBER_HD is for member functions of plain data. EXPUNGE_UNROLL
// stands before a loop of at most 36 turns whose array is to be in registers.
#if defined(__CUDACC__)
#define EXPUNGE_HD static __host__ __device__ __forceinline__
#define EXPUNGE_MEMBER_HD __host__ __device__
#if defined(__CUDA_ARCH__)
#define EXPUNGE_UNROLL _Pragma("unroll")
#else  // nvcc's reading for the host knows neither
#define EXPUNGE_UNROLL
#endif
#else
#define EXPUNGE_HD static inline __attribute__((always_inline))
#define EXPUNGE_MEMBER_HD
#define EXPUNGE_UNROLL _Pragma("GCC unroll 36")
#endif
