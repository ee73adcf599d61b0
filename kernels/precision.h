#pragma once

#include "core/dtype.h"

namespace expunge::kernels {

// What products of a convolution or a linear layer are computed in; sums are fp32 in all of them.
// tf32: fp32 data whose products have 10 bits. The CPU has fp32 only.
enum class Precision : unsigned char { fp32, tf32, bf16, fp16 };
Precision precision();  // of this process
void set_precision(Precision precision);

// Of what a convolution reads and writes in the process's precision: bf16, f16, otherwise f32.
DType activation_type();

// While it lives fp16 is tf32: products of as many bits, and f32's range. For gradients that are
// not those of a step, and so have no loss scale (nn/loss_scale.h).
class WithoutLossScale {
 public:
  WithoutLossScale();
  ~WithoutLossScale() { set_precision(before_); }
  WithoutLossScale(const WithoutLossScale&) = delete;
  WithoutLossScale& operator=(const WithoutLossScale&) = delete;

 private:
  Precision before_;
};

}  // namespace expunge::kernels
