#include "kernels/graph_cudnn.h"

#include <utility>

#include "core/check.h"

namespace expunge::kernels::cudnn {

void fail_cudnn(cudnnStatus_t status, const char* what) {
  char words[512] = "";
  cudnnGetLastErrorString(words, sizeof words);
  fail(status == CUDNN_STATUS_ALLOC_FAILED ? ExitCode::memory : ExitCode::device,
       "cuDNN: {}: {}{}{}", what, cudnnGetErrorString(status), words[0] != 0 ? ": " : "", words);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check_cudnn(cudnnBackendCreateDescriptor(type, &get_), "creating a descriptor");
}

Descriptor::~Descriptor() {
  if (get_ != nullptr) cudnnBackendDestroyDescriptor(get_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(get_, other.get_);
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            int64_t count, const void* values) {
  check_cudnn(cudnnBackendSetAttribute(get_, name, type, count, values), "setting an attribute");
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values) {
  return set(name, CUDNN_TYPE_INT64, std::ssize(values), values.data());
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& other) {
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.get_);
}

Descriptor& Descriptor::set_text(cudnnBackendAttributeName_t name, const std::string& text) {
  return set(name, CUDNN_TYPE_CHAR, std::ssize(text), text.data());
}

Descriptor& Descriptor::finalize(const char* what) {
  check_cudnn(try_finalize(), what);
  return *this;
}

bool Descriptor::try_set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int64_t count, const void* values) const {
  return cudnnBackendSetAttribute(get_, name, type, count, values) == CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t Descriptor::try_finalize() const {
  return cudnnBackendFinalize(get_);
}

int64_t Descriptor::get_int64(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  check_cudnn(cudnnBackendGetAttribute(get_, name, CUDNN_TYPE_INT64, 1, &count, &value),
              "reading an attribute");
  return value;
}

int32_t Descriptor::get_enum(cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type) const {
  int32_t value = 0;
  int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(get_, name, type, 1, &count, &value),
              "reading an attribute");
  return value;
}

std::vector<int32_t> Descriptor::get_notes(cudnnBackendAttributeName_t name,
                                           cudnnBackendAttributeType_t type) const {
  constexpr int64_t kMost = 32;  // there are fewer kinds of notes
  std::vector<int32_t> notes(kMost);
  int64_t count = 0;
  check_cudnn(cudnnBackendGetAttribute(get_, name, type, kMost, &count, notes.data()),
              "reading an engine's notes");
  notes.resize(static_cast<size_t>(count));
  return notes;
}

Descriptor tensor(TensorId id, const TensorShape& s, cudnnDataType_t type, int64_t alignment) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set_one(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {s.n, s.c, s.h, s.w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {s.h * s.w * s.c, 1, s.w * s.c, s.c})
      .set_one(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, static_cast<int64_t>(id))
      .set_one(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment)
      .finalize("describing a tensor");
  return d;
}

Descriptor device_from_json(const std::string& json) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.set_text(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json)
      .finalize("reading a device's properties");
  return device;
}

}  // namespace expunge::kernels::cudnn
