#pragma once

#include "kernels/conv2d.h"
#include "kernels/conv_epilogue.h"

// The convolutions of conv2d.h by Winograd's F(4x4, 3x3), which needs a quarter of the products
// (winograd_tile.h). Against double the relative rms error is about 5e-6, ten times that of the
// direct way: the transforms multiply by up to 8 and subtract. Same bits for any thread count.
// conv2d.h chooses (conv_algo.h); these may be called where winograd_applies.
namespace expunge::kernels {

// 3x3, stride 1, pad at most 2.
bool winograd_applies(const Conv2dShape& shape);

void winograd(const Conv2dShape& shape, const float* x, const float* w, const float* bias,
              const ConvEpilogue& then, float* y);
void winograd_backward_data(const Conv2dShape& shape, const float* dy, const float* w, float beta,
                            float* dx);
void winograd_backward_weights(const Conv2dShape& shape, int64_t n0, int64_t n1, const float* x,
                               const float* dy, float beta, float* dw);

}  // namespace expunge::kernels
