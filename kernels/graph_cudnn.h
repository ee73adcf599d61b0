#pragma once

#include <cudnn_backend.h>

#include <cstdint>
#include <string>
#include <vector>

// cuDNN's backend API, as little of it as convolutions need: descriptors are opaque objects with
// attributes, an operation is a graph of them, an engine configuration is a way to run it, a plan
// is one made ready for a device. Errors: ExitCode::device with the call and cuDNN's own words.
namespace expunge::kernels::cudnn {

[[noreturn]] void fail_cudnn(cudnnStatus_t status, const char* what);
inline void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) fail_cudnn(status, what);
}

// Owns one descriptor. Attributes are set, then it is finalized; afterwards it is read.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : get_(other.get_) { other.get_ = nullptr; }
  Descriptor& operator=(Descriptor&& other) noexcept;

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values);
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other);
  Descriptor& set_text(cudnnBackendAttributeName_t name, const std::string& text);
  template <class T>
  Descriptor& set_one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
    return set(name, type, 1, &value);
  }
  Descriptor& finalize(const char* what);
  // What is not supported is an answer here, no error.
  bool try_set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
               const void* values) const;
  cudnnStatus_t try_finalize() const;

  int64_t get_int64(cudnnBackendAttributeName_t name) const;
  int32_t get_enum(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const;
  std::vector<int32_t> get_notes(cudnnBackendAttributeName_t name,
                                 cudnnBackendAttributeType_t type) const;

  cudnnBackendDescriptor_t get() const { return get_; }

 private:
  cudnnBackendDescriptor_t get_ = nullptr;
};

// A tensor of rank 4 as cuDNN names its dimensions (N, C, H, W), in our order of memory (N, H, W,
// C).
struct TensorShape {
  int64_t n, c, h, w;
};
enum TensorId : int64_t { kX = 'x', kW = 'w', kY = 'y' };
Descriptor tensor(TensorId id, const TensorShape& shape, cudnnDataType_t type, int64_t alignment);

// Of a device that is not there: a cudaDeviceProp as JSON (tests/cudnn/h200.json). Plans can be made
// for it, and not run.
Descriptor device_from_json(const std::string& json);

}  // namespace expunge::kernels::cudnn
