#pragma once

#include <cstddef>

#include "kernels/conv2d.h"

// The first layer of a network in 16 bits on a GPU: 3 x 3 over images of three channels, which is
// too little for engines made for many channels. Images and weights are f32; products are of what
// they are rounded to in the type of y, as casts round; sums are f32.
namespace expunge::kernels {

// Whether such a convolution may be done so: stride 1, padding 1, a multiple of 32 channels out,
// and pixels that 32 bits count.
constexpr bool is_image_conv2d(const Conv2dShape& s) {
  return s.C == 3 && s.R == 3 && s.S == 3 && s.stride == 1 && s.pad == 1 && s.K % 32 == 0 &&
         s.N * s.H * s.W < int64_t{1} << 29;
}

// What conv2d and conv2d_backward_weights do on a GPU with x and w of f32 and y of 16 bits; any
// other shape is an error.
void image_conv2d(Stream stream, const Conv2dShape& shape, const float* x, const float* w,
                  const float* bias, Values y);
void image_conv2d_backward_weights(Stream stream, const Conv2dShape& shape, int64_t n0, int64_t n1,
                                   const float* x, ConstValues dy, float beta, float* dw);

namespace cuda {

// y: bf16 or f16, at multiples of 16 bytes
void image_conv2d(Stream stream, const Conv2dShape& shape, const float* x, const float* w,
                  Values y);

// dw = beta dw + dL/dw, with memory to work in: so many bytes. dy: like y
size_t image_weights_workspace(const Conv2dShape& shape);
void image_conv2d_backward_weights(Stream stream, const Conv2dShape& shape, const float* x,
                                   ConstValues dy, float beta, float* dw, void* workspace);

}  // namespace cuda

}  // namespace expunge::kernels
