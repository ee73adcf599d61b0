#pragma once

#include <cstddef>

// The race check: kernels are compiled with -fsanitize=thread, which calls a function at each
// access to memory, and linked with our own such functions instead of the sanitizer's library. It
// is exact for barriers and deterministic: one run finds a race in whatever order the threads ran.
namespace cuda_on_cpu {

// Memory that is new: what happened at these addresses before does not count.
#if defined(CUDA_ON_CPU_RACE)
void race_forget(const void* p, size_t bytes);
#else
inline void race_forget(const void*, size_t) {}
#endif

}  // namespace cuda_on_cpu
