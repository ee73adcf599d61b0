#pragma once

namespace expunge::kernels {

// What products of a convolution or a linear layer are computed in; sums are fp32 in all of them.
// tf32: fp32 data whose products have 10 bits. The CPU has fp32 only.
enum class Precision : unsigned char { fp32, tf32, bf16, fp16 };
Precision precision();  // of this process
void set_precision(Precision precision);

}  // namespace expunge::kernels
