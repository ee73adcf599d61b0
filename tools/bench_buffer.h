#pragma once

#include "core/tensor.h"

namespace expunge::tools {

// A buffer of a benchmark: filled and looked at on the CPU, there as fp32 if it holds floating
// numbers, and used where the kernels work in the type that they take. On the CPU both are one.
class BenchBuffer {
 public:
  BenchBuffer() = default;  // none
  explicit BenchBuffer(Shape shape, DType type = DType::f32);
  // Uniform values by `key` (fill_uniform).
  static BenchBuffer drawn(Shape shape, uint32_t key, DType type = DType::f32);
  // One that is there already, of f32: a model's parameters.
  static BenchBuffer of(const Tensor& there);

  explicit operator bool() const { return bool(there_); }
  const Tensor& here() const { return here_; }
  double at(int64_t i) const { return double{here_.data()[i]}; }
  // What is here to where the kernels work; then here() holds what their type rounds it to.
  void send() const;
  void fetch() const;  // back

  float* data() const { return there_.data(); }
  int32_t* labels() const { return there_.as<int32_t>(); }
  uint8_t* bytes_there() const { return there_.as<uint8_t>(); }
  Values values() const { return there_.values(); }
  double bytes() const;

 private:
  Tensor here_, there_;
};

double bytes_of(std::initializer_list<BenchBuffer> buffers);  // of all of them

// How far of itself a number is off at most where it was rounded to 16 bits: 2^-8 in bf16, 2^-11 in
// f16.
constexpr double rounding(DType type) {
  return type == DType::f16 ? 5e-4 : 4e-3;
}

// How far sums of a few thousand values near 1 by blocks of float are off: 1e-6 in a mean, the same
// in what a mean is taken from. A pixel left out of 1024 moves a mean by 1e-3.
constexpr double kSumTolerance = 1e-5;
// The same for `result`, which may be rounded to 16 bits.
double sum_tolerance(const BenchBuffer& result);

}  // namespace expunge::tools
