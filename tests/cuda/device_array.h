#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "core/cuda_check.h"

namespace expunge::test {

// n values on the device; both ways through the default stream, and waited for.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : n_(n) { check_cuda(cudaMalloc(&data_, bytes())); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check_cuda(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t size() const { return n_; }
  std::vector<T> values() const {
    std::vector<T> host(n_);
    check_cuda(cudaMemcpy(host.data(), data_, bytes(), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  size_t bytes() const { return n_ * sizeof(T); }

  size_t n_;
  T* data_ = nullptr;
};

}  // namespace expunge::test
