#pragma once

#include "kernels/launch.h"

// Copies of 16 bytes from device memory into the block's shared memory, both at multiples of 16,
// that go on beside the thread (from 8.0 on). What it asked for up to a commit_copies() is a group;
// wait_for_copies<n>() returns when all its groups but the last n are there for itself, and a
// barrier behind that makes them so for the block. Source: PTX ISA, "cp.async". On the CPU
// tests/cuda_on_cpu/language.h has these.
#if defined(__CUDACC__)
// there: false writes zeros and reads nothing.
__device__ inline void copy_16_async(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kGroups>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}
#endif
