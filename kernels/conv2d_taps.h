#pragma once

#include <algorithm>

#include "kernels/conv2d.h"

// The gradient of the weights on a GPU's tensor cores, all nine taps of some channels in a block:
// of x and dy in 16 bits or, rounded to 10 bits behind the leading one (of two as near the larger),
// in tf32. Sums are f32, and so is what comes of them, where engines round to the type of x. In
// tf32 those take twice as long as their forward pass (decision 29).
namespace expunge::kernels {

// So many pixels are taken at a time, whole lines of an image; of x and dy so many channels.
inline constexpr int64_t kTapsPixels = 64, kTapsChannels = 64;

// 3x3, stride 1, padding 1, lines of 8, 16 or 32 pixels, and nothing left over.
constexpr bool is_conv2d_taps(const Conv2dShape& s) {
  return s.R == 3 && s.S == 3 && s.stride == 1 && s.pad == 1 && s.C % kTapsChannels == 0 &&
         s.K % kTapsChannels == 0 && (s.W == 8 || s.W == 16 || s.W == 32) &&
         s.H * s.W % kTapsPixels == 0;
}

// So many parts of the images have a sum of their own: as many as keep the multiprocessors of an
// H200 busy, and on any device the same.
constexpr int64_t conv2d_taps_parts(const Conv2dShape& s) {
  constexpr int64_t kMultiprocessors = 132;
  const int64_t blocks = s.K / kTapsChannels * (s.C / kTapsChannels);
  return std::clamp<int64_t>(kMultiprocessors / blocks, 1, s.N * s.H * s.W / kTapsPixels);
}

constexpr int64_t conv2d_taps_weights(const Conv2dShape& s) {
  return s.K * s.R * s.S * s.C;
}

// dw = beta dw + dL/dw; x and dy of one type, f32 for tf32; sums: (parts, K, 9, C) to work in; all
// at multiples of 16 bytes. A block has up to 115 KB of shared memory: 8.0 and 9.0 have that.
struct TapsWork {
  Conv2dShape shape;
  int64_t parts;
  float* sums;
};
void conv2d_taps_backward_weights(Stream stream, const TapsWork& work, ConstValues x,
                                  ConstValues dy, float beta, float* dw);

// The sum of each part (conv2d_taps.cu).
namespace cuda {
void conv2d_taps_sums(Stream stream, const TapsWork& work, ConstValues x, ConstValues dy);
}

}  // namespace expunge::kernels
