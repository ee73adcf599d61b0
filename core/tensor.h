#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/device.h"
#include "core/dtype.h"
#include "core/memory.h"

namespace expunge {

// Up to five extents, stored inline. Shape{} is a scalar: rank 0, one element.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<int64_t> extents) {
    EXPUNGE_CHECK(extents.size() <= kMaxRank, "shape: at most {} dimensions, got {}", kMaxRank,
                  extents.size());
    for (int64_t extent : extents) push_back(extent);
  }

  constexpr void push_back(int64_t extent) {
    EXPUNGE_CHECK(rank_ < kMaxRank && extent >= 0, "shape: extent {} as dimension {}", extent,
                  rank_);
    extents_[static_cast<size_t>(rank_++)] = extent;
  }
  constexpr int rank() const { return rank_; }
  constexpr int64_t operator[](int i) const { return extents_[static_cast<size_t>(i)]; }
  constexpr int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= (*this)[i];
    return n;
  }
  constexpr const int64_t* begin() const { return extents_.data(); }
  constexpr const int64_t* end() const { return extents_.data() + rank_; }
  constexpr bool operator==(const Shape&) const = default;
  std::string str() const;  // "(64, 32, 32, 3)"

 private:
  std::array<int64_t, kMaxRank> extents_{};  // unused ones stay 0, so == compares
  int rank_ = 0;
};

// A contiguous array: dtype and shape over counted memory of the pool. Copying a Tensor shares the
// memory; constness of a Tensor is that of the handle, as with a pointer.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Shape shape, DType type = DType::f32,
                  Stream stream = {});  // contents unspecified
  static Tensor zeros(Shape shape, DType type = DType::f32, Stream stream = {});
  static Tensor of(std::initializer_list<float> values);  // (n), for tests and small constants

  Tensor(const Tensor& other) noexcept
      : block_(other.block_), bytes_(other.bytes_), shape_(other.shape_), dtype_(other.dtype_) {
    if (block_ != nullptr) block_->users.fetch_add(1, std::memory_order_relaxed);
  }
  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(Tensor other) noexcept {
    swap(other);
    return *this;
  }
  ~Tensor() {
    if (block_ != nullptr && block_->users.fetch_sub(1, std::memory_order_acq_rel) == 1)
      pool_release(block_);
  }

  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t size() const { return shape_.size(); }
  DType dtype() const { return dtype_; }
  explicit operator bool() const { return block_ != nullptr; }

  // Throws where T is not the tensor's dtype.
  template <class T>
  T* as() const {
    EXPUNGE_CHECK(block_ == nullptr || dtype_ == kDType<T>,
                  "tensor {}: another dtype was asked for", shape_.str());
    return static_cast<T*>(bytes_);
  }
  float* data() const { return as<float>(); }
  void* bytes() const { return bytes_; }
  Values values() const { return {bytes_, dtype_}; }  // for kernels that take floats of any size
  std::span<float> span() const { return {data(), static_cast<size_t>(size())}; }

  // Views on the same memory: `shape` from element `offset` on; all of it in another shape.
  Tensor slice(int64_t offset, Shape shape) const;
  Tensor reshape(Shape shape) const;

  // Where it lies. Reading or writing elements is for tensors on the CPU; elsewhere kernels do it.
  Stream stream() const { return block_ != nullptr ? block_->stream : Stream{}; }
  Tensor clone() const;
  Tensor to(Stream stream) const;  // itself where it lies there already, otherwise a copy
  void copy_from(const Tensor& other) const;  // same shape and dtype, from wherever
  void zero() const;

 private:
  void swap(Tensor& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(bytes_, other.bytes_);
    std::swap(shape_, other.shape_);
    std::swap(dtype_, other.dtype_);
  }

  Block* block_ = nullptr;
  void* bytes_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
};

inline Tensor empty_like(const Tensor& x) {
  return Tensor(x.shape(), x.dtype(), x.stream());
}

// The number in a tensor of one; on a GPU it is waited for.
inline float value_of(const Tensor& scalar) {
  EXPUNGE_CHECK(scalar.size() == 1, "value_of: {} elements", scalar.size());
  return scalar.to({}).data()[0];
}

// work(values) on the CPU: with the tensor itself, or with a copy of one on a GPU, which goes back.
template <class Work>
void on_host(const Tensor& tensor, Work work) {
  const Tensor here = tensor.to({});
  work(here);
  if (here.bytes() != tensor.bytes()) tensor.copy_from(here);
}

}  // namespace expunge
