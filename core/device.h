#pragma once

#include "core/check.h"

namespace expunge {

enum class Device : unsigned char { cpu, cuda };

// Where work runs. On the CPU calls return when the work is done.
struct Stream {
  Device device = Device::cpu;
  void* cuda = nullptr;  // cudaStream_t; untyped so that CPU-only builds need no CUDA headers
};

#if defined(EXPUNGE_WITH_CUDA)
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

// Runs `on_cpu` or `on_cuda` by where the stream lives. A CPU-only build never instantiates
// `on_cuda`, so the cuda:: symbol it names need not exist: no stub files.
template <class Cpu, class Cuda>
void dispatch(Stream stream, Cpu on_cpu, Cuda on_cuda) {
  if (stream.device == Device::cpu) return on_cpu();
  if constexpr (kHasCuda) {
    on_cuda();
  } else {
    fail(ExitCode::device, "this build has no CUDA backend; use --device cpu");
  }
}

}  // namespace expunge
