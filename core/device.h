#pragma once

namespace expunge {

enum class Device : unsigned char { cpu, cuda };

// Where work runs: first argument of every kernel. On the CPU calls return when the work is done.
struct Stream {
  Device device = Device::cpu;
  void* cuda = nullptr;  // cudaStream_t; untyped so that CPU-only builds need no CUDA headers
};

#if defined(EXPUNGE_CUDA_BUILD)
inline constexpr bool kCudaBuild = true;
#else
inline constexpr bool kCudaBuild = false;
#endif

[[noreturn]] void no_cuda_backend();  // throws Error(ExitCode::device)

// One of the two. A build without CUDA does not compile calls of the second into anything, so there
// need be no stand-ins for what they call.
template <class OnCpu, class OnCuda>
void dispatch(Stream stream, OnCpu on_cpu, [[maybe_unused]] OnCuda on_cuda) {
  if (stream.device == Device::cpu) return on_cpu();
  if constexpr (kCudaBuild)
    on_cuda();
  else
    no_cuda_backend();
}

}  // namespace expunge
