#include "core/tensor.h"

#include <algorithm>
#include <cstring>

namespace expunge {

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i > 0 ? ", " : "") + std::to_string((*this)[i]);
  return text + ")";
}

Tensor::Tensor(Shape shape, DType type, Stream stream) : shape_(shape), dtype_(type) {
  if (stream.device != Device::cpu)
    fail(ExitCode::device, "this build has no CUDA backend; use --device cpu");
  block_ = pool_acquire(static_cast<size_t>(shape.size()) * size_of(type));
  bytes_ = block_->bytes();
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
  Tensor copy(shape_, dtype_);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) const {
  EXPUNGE_CHECK(shape_ == other.shape_ && dtype_ == other.dtype_, "copy: {} into {}",
                other.shape_.str(), shape_.str());
  if (size() > 0) std::memcpy(bytes_, other.bytes_, static_cast<size_t>(size()) * size_of(dtype_));
}

void Tensor::zero() const {
  if (size() > 0) std::memset(bytes_, 0, static_cast<size_t>(size()) * size_of(dtype_));
}

}  // namespace expunge
