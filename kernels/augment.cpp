#include "kernels/augment.h"

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/augment_math.h"

namespace expunge::kernels {
namespace {

// Every value a pixel can become.
struct Table {
  explicit Table(const ImageFormat& format) {
    for (int64_t c = 0; c < format.channels; ++c)
      for (int p = 0; p < 256; ++p)
        value[c][p] = math::normalise(static_cast<uint8_t>(p), format.mean[c], format.std[c]);
  }
  float value[kMaxChannels][256];
};

void augment_row(const Table& table, const ImageFormat& format, const uint8_t* row,
                 const Jitter& jitter, float* y) {
  const int64_t W = format.width, C = format.channels;
  for (int64_t w = 0; w < W; ++w) {
    const int64_t from = (jitter.flip ? W - 1 - w : w) + jitter.dx;
    const bool inside = row != nullptr && from >= 0 && from < W;
    for (int64_t c = 0; c < C; ++c) y[w * C + c] = table.value[c][inside ? row[from * C + c] : 0];
  }
}

void augment_images(const ImageFormat& format, int64_t n, const uint8_t* images,
                    const int32_t* index, const Jitter* jitter, float* y) {
  const Table table(format);
  const int64_t H = format.height, row_size = format.width * format.channels;
  parallel_for(n, [&](int64_t i) {
    const uint8_t* image = images + index[i] * H * row_size;
    const Jitter moved = jitter != nullptr ? jitter[i] : Jitter{};
    for (int64_t h = 0; h < H; ++h) {
      const int64_t from = h + moved.dy;
      const uint8_t* row = from >= 0 && from < H ? image + from * row_size : nullptr;
      augment_row(table, format, row, moved, y + (i * H + h) * row_size);
    }
  });
}

}  // namespace

void augment(Stream stream, const ImageFormat& format, int64_t n, const uint8_t* images,
             const int32_t* index, const Jitter* jitter, float* y) {
  EXPUNGE_CHECK(format.channels >= 1 && format.channels <= kMaxChannels,
                "augment: {} channels, expected 1 to {}", format.channels, kMaxChannels);
  dispatch(
      stream, [&] { augment_images(format, n, images, index, jitter, y); },
      [&] { cuda::augment(stream, format, n, images, index, jitter, y); });
}

}  // namespace expunge::kernels
