#pragma once

#include <cstdint>

#include "core/device.h"

namespace expunge::kernels {

// How one image is moved: crop at (dy, dx) of the zero-padded image, then mirror.
struct Jitter {
  int32_t dy = 0, dx = 0;
  bool flip = false;
};

struct ImageFormat {
  int64_t height, width, channels;  // at most kMaxChannels
  const float* mean;                // (channels)
  const float* std;                 // (channels)
};
inline constexpr int64_t kMaxChannels = 4;

// y[n, h, w, c] = (p / 255 - mean[c]) / std[c] with p the pixel (h + dy, w' + dx) of image
// index[n], w' = W - 1 - w where flip is set, w otherwise. Outside the image p = 0: black is padded
// before normalisation, as PyTorch's RandomCrop does.
//   images (all, H, W, C), index (N), jitter (N) or null, y (N, H, W, C)
void augment(Stream stream, const ImageFormat& format, int64_t n, const uint8_t* images,
             const int32_t* index, const Jitter* jitter, float* y);

// The same on a GPU (augment.cu); mean and std of the format stay on the host.
namespace cuda {

void augment(Stream stream, const ImageFormat& format, int64_t n, const uint8_t* images,
             const int32_t* index, const Jitter* jitter, float* y);

}  // namespace cuda

}  // namespace expunge::kernels
