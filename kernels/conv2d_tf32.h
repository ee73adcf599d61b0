#pragma once

#include <algorithm>

#include "kernels/conv2d.h"

// The gradient of the weights in tf32 on a GPU's tensor cores: products of x and dy rounded to 10
// bits behind the leading one, of two as near the larger, and sums in f32. What engines have takes
// twice as long as their forward pass (decision 29).
namespace expunge::kernels {

// So many pixels are taken at a time, whole lines of an image; of x and dy so many channels.
inline constexpr int64_t kTf32Pixels = 64, kTf32Channels = 64;

// 3x3, stride 1, padding 1, lines of 8, 16 or 32 pixels, and nothing left over.
constexpr bool is_conv2d_tf32(const Conv2dShape& s) {
  return s.R == 3 && s.S == 3 && s.stride == 1 && s.pad == 1 && s.C % kTf32Channels == 0 &&
         s.K % kTf32Channels == 0 && (s.W == 8 || s.W == 16 || s.W == 32) &&
         s.H * s.W % kTf32Pixels == 0;
}

// So many parts of the images have a sum of their own: as many as keep the multiprocessors of an
// H200 busy, and on any device the same.
constexpr int64_t conv2d_tf32_parts(const Conv2dShape& s) {
  constexpr int64_t kMultiprocessors = 132;
  const int64_t blocks = s.K / kTf32Channels * (s.C / kTf32Channels);
  return std::clamp<int64_t>(kMultiprocessors / blocks, 1, s.N * s.H * s.W / kTf32Pixels);
}

constexpr int64_t conv2d_tf32_weights(const Conv2dShape& s) {
  return s.K * s.R * s.S * s.C;
}

// dw = beta dw + dL/dw; sums: (parts, K, 9, C) to work in; all at multiples of 16 bytes. A block
// has up to 115 KB of shared memory: 8.0 and 9.0 have that.
struct Tf32Work {
  Conv2dShape shape;
  int64_t parts;
  float* sums;
};
void conv2d_tf32_backward_weights(Stream stream, const Tf32Work& work, const float* x,
                                  const float* dy, float beta, float* dw);

// The sum of each part (conv2d_tf32.cu).
namespace cuda {
void conv2d_tf32_sums(Stream stream, const Conv2dShape& shape, int64_t parts, const float* x,
                      const float* dy, float* sums);
}

}  // namespace expunge::kernels
