#pragma once

#include <cuda_runtime.h>

#include "core/call_place.h"

namespace expunge {

// Throws Error: memory where the device has none left, device otherwise. In a .cpp of its own since
// nvcc need not see what core/check.h includes.
[[noreturn]] void cuda_failed(int error, const char* name, const char* text,
                              const CallPlace& place);

// Every call of CUDA's runtime library goes through this.
inline void check_cuda(cudaError_t error, const CallPlace& place = CallPlace::here()) {
  if (error != cudaSuccess)
    cuda_failed(static_cast<int>(error), cudaGetErrorName(error), cudaGetErrorString(error), place);
}

}  // namespace expunge
