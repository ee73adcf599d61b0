#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/cuda_check.h"
#include "core/device.h"

// The one way in which our files of CUDA start kernels and name shared memory, so that they can be
// compiled by nvcc and, for tests on machines without a GPU, as C++: there
// tests/cuda_on_cpu/include stands in for CUDA's headers (docs/cuda-on-cpu.md).

// An array of n that the threads of a block share: KERNEL_SHARED(float, part, 32); and the one
// whose size the launch gives: KERNEL_DYN_SHARED(float, row);
#if defined(__CUDACC__)
#define KERNEL_SHARED(T, name, n) __shared__ T name[n]
#define KERNEL_DYN_SHARED(T, name)                                      \
  extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared_bytes)
#endif

namespace expunge::kernels {

inline cudaStream_t cuda_stream(Stream stream) {
  return static_cast<cudaStream_t>(stream.cuda);
}

// A stream and who works in it, for errors to name. Made of a stream where a function takes one:
// what launches for others takes it in a Stream's place and passes it on.
struct StreamAt {
  StreamAt(Stream given, const CallPlace& call = CallPlace::here())  // NOLINT: as said above
      : stream(given), place(call) {}

  Stream stream;
  CallPlace place;
};

// Whether a kernel may come to the multiprocessors while the one before it in its stream is at its
// end (programmatic dependent launch): EXPUNGE_PDL=on, from compute capability 9.0 on, where
// `a_kernel` was compiled for that.
bool overlaps_launches(const void* a_kernel);

// kernel(arguments...) in the stream, `shared_bytes` for KERNEL_DYN_SHARED. Threads a block: a
// multiple of 32. A template is named with its arguments: launch(k<128>, ...). An empty grid is an
// error: return before where there is nothing to do.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 blocks, dim3 threads, size_t shared_bytes,
            const StreamAt& stream, A&&... arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               stream.place);
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = cuda_stream(stream.stream);
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = overlaps_launches(reinterpret_cast<const void*>(kernel)) ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<A>(arguments)...), stream.place);
}

// Blocks of `threads` for n elements, one a thread.
inline unsigned blocks_for(int64_t n, unsigned threads) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}

}  // namespace expunge::kernels

// The first thing in every kernel: from here on the memory is as the kernels before left it, and
// whoever is next may come when all blocks have. On the CPU tests/cuda_on_cpu/language.h has it.
#if defined(__CUDACC__)
__device__ inline void start_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}
#endif
