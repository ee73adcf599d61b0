#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/cuda_check.h"

namespace expunge::test {

// Elements before and behind an array that nobody may write. On the CPU there is no need: arrays
// have their exact size there, which the sanitizer and the race check watch.
#if defined(CUDA_ON_CPU)
inline constexpr size_t kGuardElements = 0;
#else
inline constexpr size_t kGuardElements = 256;
#endif

// n values on the device; both ways through the default stream, and waited for.
template <class T, size_t kGuard = kGuardElements>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : n_(n) {
    check_cuda(cudaMalloc(&memory_, bytes()));
    check_cuda(cudaMemset(memory_, kUnset, bytes()));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check_cuda(cudaMemcpy(data(), values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return memory_ + kGuard; }
  size_t size() const { return n_; }

  // Throws where something beyond the array was written.
  std::vector<T> values() const {
    std::vector<T> all(n_ + 2 * kGuard);
    check_cuda(cudaMemcpy(all.data(), memory_, bytes(), cudaMemcpyDeviceToHost));
    if constexpr (kGuard > 0) {
      const std::vector<unsigned char> unset(kGuard * sizeof(T), kUnset);
      if (std::memcmp(all.data(), unset.data(), unset.size()) != 0)
        throw std::logic_error("a kernel wrote before an array");
      if (std::memcmp(all.data() + kGuard + n_, unset.data(), unset.size()) != 0)
        throw std::logic_error("a kernel wrote behind an array");
    }
    return {all.begin() + static_cast<long>(kGuard), all.end() - static_cast<long>(kGuard)};
  }

 private:
  static constexpr unsigned char kUnset = 0xff;  // NaN
  size_t bytes() const { return (n_ + 2 * kGuard) * sizeof(T); }

  size_t n_;
  T* memory_ = nullptr;
};

}  // namespace expunge::test
