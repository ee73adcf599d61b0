#include "kernels/augment.h"
#include "kernels/augment_math.h"
#include "kernels/each.cuh"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

// Of a pixel: all its channels.
struct Augment {
  unsigned H, W, C;
  float mean[kMaxChannels], std[kMaxChannels];
  const uint8_t* images;
  const int32_t* index;
  const Jitter* jitter;
  float* y;

  __device__ void operator()(int64_t pixel) const {
    const Division line = divided(pixel, W), image = divided(line.quotient, H);
    const int64_t w = line.remainder, h = image.remainder, n = image.quotient;
    const Jitter moved = jitter != nullptr ? jitter[n] : Jitter{};
    const int64_t row = h + moved.dy, column = (moved.flip ? W - 1 - w : w) + moved.dx;
    const bool inside = row >= 0 && row < H && column >= 0 && column < W;
    const uint8_t* from = images + ((int64_t{index[n]} * H + row) * W + column) * C;
    for (unsigned c = 0; c < kMaxChannels; ++c)  // to be unrolled: arrays then need no stack
      if (c < C) y[pixel * C + c] = math::normalise(inside ? from[c] : uint8_t{0}, mean[c], std[c]);
  }
};

}  // namespace

void augment(Stream stream, const ImageFormat& format, int64_t n, const uint8_t* images,
             const int32_t* index, const Jitter* jitter, float* y) {
  Augment body{static_cast<unsigned>(format.height),
               static_cast<unsigned>(format.width),
               static_cast<unsigned>(format.channels),
               {},
               {},
               images,
               index,
               jitter,
               y};
  for (int64_t c = 0; c < format.channels; ++c)
    body.mean[c] = format.mean[c], body.std[c] = format.std[c];
  each(stream, n * format.height * format.width, body);
}

}  // namespace expunge::kernels::cuda
