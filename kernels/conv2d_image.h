#pragma once

#include <cstddef>

#include "kernels/conv2d.h"

// The first layer of a network on a GPU's tensor cores, in 16 bits or tf32: 3 x 3 over images of
// three channels, which is too little for engines made for many. x and w are f32; products are of
// what they are rounded to, as casts round (tf32: to 10 bits, of two as near the larger); sums are
// f32.
namespace expunge::kernels {

// Whether such a convolution may be done so: stride 1, padding 1, a multiple of 32 channels out,
// and pixels that 32 bits count.
constexpr bool is_conv2d_image(const Conv2dShape& s) {
  return s.C == 3 && s.R == 3 && s.S == 3 && s.stride == 1 && s.pad == 1 && s.K % 32 == 0 &&
         s.N * s.H * s.W < int64_t{1} << 29;
}

// y: bf16, f16, or f32 for tf32. bias: (K) or null
void conv2d_image(Stream stream, const Conv2dShape& shape, const float* x, const float* w,
                  const float* bias, Values y);

// dw = beta dw + dL/dw of images [n0, n1) alone. dy: like y; where it is not finite no weight of
// that channel is
void conv2d_image_backward_weights(Stream stream, const Conv2dShape& shape, int64_t n0, int64_t n1,
                                   const float* x, ConstValues dy, float beta, float* dw);

// The same (conv2d_image.cu), y and dy at multiples of 16 bytes; of all images, with memory to work
// in: so many bytes.
namespace cuda {

void conv2d_image(Stream stream, const Conv2dShape& shape, const float* x, const float* w,
                  const float* bias, Values y);
size_t conv2d_image_workspace(const Conv2dShape& shape);
void conv2d_image_backward_weights(Stream stream, const Conv2dShape& shape, const float* x,
                                   ConstValues dy, float beta, float* dw, void* workspace);

}  // namespace cuda

}  // namespace expunge::kernels
