#pragma once

// Marks a function that CPU loops and CUDA kernels share. On the host it is static and always
// inlined, so that objects compiled for different instruction sets (or instrumented ones) never
// share a weak symbol: the linker would keep one copy for all of them. tests/symbols_test.sh looks
// at the objects.
#if defined(__CUDACC__)
#define EXPUNGE_HD static __host__ __device__ __forceinline__
#else
#define EXPUNGE_HD static inline __attribute__((always_inline))
#endif
