#include "core/tensor.h"

#include <algorithm>
#include <cstring>

#include "core/memory_cuda.h"

namespace expunge {

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i > 0 ? ", " : "") + std::to_string((*this)[i]);
  return text + ")";
}

void wrong_dtype() {
  fail(ExitCode::internal, "numbers of another type than the operation works on");
}

Tensor::Tensor(Shape shape, DType type, Stream stream) : shape_(shape), dtype_(type) {
  block_ = pool_acquire(static_cast<size_t>(shape.size()) * size_of(type), stream);
  bytes_ = block_->bytes;
}

Tensor Tensor::zeros(Shape shape, DType type, Stream stream) {
  Tensor result(shape, type, stream);
  result.zero();
  return result;
}

Tensor Tensor::of(std::initializer_list<float> values) {
  Tensor result(Shape{static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), result.data());
  return result;
}

Tensor Tensor::slice(int64_t offset, Shape shape) const {
  EXPUNGE_CHECK(offset >= 0 && offset + shape.size() <= size(),
                "tensor {}: slice {} at {} is outside", shape_.str(), shape.str(), offset);
  Tensor view = *this;
  view.bytes_ = static_cast<unsigned char*>(bytes_) + static_cast<size_t>(offset) * size_of(dtype_);
  view.shape_ = shape;
  return view;
}

Tensor Tensor::reshape(Shape shape) const {
  EXPUNGE_CHECK(shape.size() == size(), "tensor {}: cannot become {}", shape_.str(), shape.str());
  return slice(0, shape);
}

Tensor Tensor::clone() const {
  Tensor copy(shape_, dtype_, stream());
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Stream there) const {
  if (block_ == nullptr || stream().device == there.device) return *this;
  Tensor copy(shape_, dtype_, there);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) const {
  EXPUNGE_CHECK(shape_ == other.shape_ && dtype_ == other.dtype_, "copy: {} into {}",
                other.shape_.str(), shape_.str());
  const size_t count = static_cast<size_t>(size()) * size_of(dtype_);
  if (count == 0) return;
  const bool to_host = stream().device == Device::cpu,
             from_host = other.stream().device == Device::cpu;
  if (to_host && from_host)
    std::memcpy(bytes_, other.bytes_, count);
  else if constexpr (kCudaBuild)
    to_host     ? cuda_download(other.stream(), bytes_, other.bytes_, count)
    : from_host ? cuda_upload(stream(), bytes_, other.bytes_, count)
                : cuda_copy(stream(), bytes_, other.bytes_, count);
}

void Tensor::zero() const {
  const size_t count = static_cast<size_t>(size()) * size_of(dtype_);
  if (count == 0) return;
  if (stream().device == Device::cpu)
    std::memset(bytes_, 0, count);
  else if constexpr (kCudaBuild)
    cuda_fill(stream(), bytes_, 0, count);
}

}  // namespace expunge
