#pragma once

#include "core/memory.h"
#include "cuda_on_cpu/machine_side.h"

namespace expunge::test {

// While it lives the emulated device has as much memory as is taken, and so much more.
class WithMemory {
 public:
  explicit WithMemory(uint64_t megabytes) : before_(cuda_on_cpu::options().memory_mb) {
    pool_trim();
    const auto held = static_cast<uint64_t>(pool_stats(Device::cuda).bytes_held);
    cuda_on_cpu::options().memory_mb = (held >> 20) + megabytes;
  }
  ~WithMemory() { cuda_on_cpu::options().memory_mb = before_; }
  WithMemory(const WithMemory&) = delete;

 private:
  uint64_t before_;
};

}  // namespace expunge::test
