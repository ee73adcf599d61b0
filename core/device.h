#pragma once

namespace expunge {

enum class Device : unsigned char { cpu, cuda };

// Where work runs: first argument of every kernel. On the CPU calls return when the work is done.
struct Stream {
  Device device = Device::cpu;
  void* cuda = nullptr;  // cudaStream_t; untyped so that CPU-only builds need no CUDA headers
};

// Where models are made and batches come to; the CPU unless the program was told otherwise
// (--device).
Stream compute_stream();
void set_compute_stream(Stream stream);

#if defined(EXPUNGE_CUDA_BUILD)
inline constexpr bool kCudaBuild = true;
#else
inline constexpr bool kCudaBuild = false;
#endif

// Whether CUDA is tests/cuda_on_cpu, a machine to find mistakes with and not to work on.
#if defined(EXPUNGE_CUDA_EMULATED)
inline constexpr bool kCudaEmulated = true;
#else
inline constexpr bool kCudaEmulated = false;
#endif

[[noreturn]] void no_cuda_backend();  // throws Error(ExitCode::device)

// Does the work where the stream is a GPU's; returns whether it is. A build without CUDA does not
// compile calls of it into anything, so there need be no stand-ins for what it calls.
template <class Work>
bool on_cuda(Stream stream, [[maybe_unused]] Work work) {
  if (stream.device == Device::cpu) return false;
  if constexpr (kCudaBuild)
    work();
  else
    no_cuda_backend();
  return true;
}

// One of the two.
template <class OnCpu, class OnCuda>
void dispatch(Stream stream, OnCpu on_cpu, OnCuda work) {
  if (!on_cuda(stream, work)) on_cpu();
}

}  // namespace expunge
