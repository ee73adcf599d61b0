#pragma once

namespace expunge {

enum class Device : unsigned char { cpu, cuda };

// Where work runs: first argument of every kernel. On the CPU calls return when the work is done.
struct Stream {
  Device device = Device::cpu;
  void* cuda = nullptr;  // cudaStream_t; untyped so that CPU-only builds need no CUDA headers
};

}  // namespace expunge
