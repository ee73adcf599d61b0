#pragma once

#include "kernels/winograd_tile.h"

// How images fall into tiles of 4 x 4 outputs, for winograd.cpp and winograd_weights.cpp.
namespace expunge::kernels {

inline int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// Floats between planes: planes a multiple of 4096 bytes apart would all fall into one set of the
// L1 cache.
inline int64_t plane_stride(int64_t floats) {
  return round_up(floats, 16) + 16;
}

// Images (rows, columns, channels), one behind the other.
struct Images {
  const float* data;
  int64_t rows, columns, channels;
};

// The tiles of output images of P x Q pixels, numbered image by image.
struct TileGrid {
  int64_t down, across;
  TileGrid(int64_t P, int64_t Q)
      : down((P + kWinogradOut - 1) / kWinogradOut),
        across((Q + kWinogradOut - 1) / kWinogradOut) {}
  int64_t per_image() const { return down * across; }

  // The tile of number `index` in `images`, whose pixels begin `before` rows and columns ahead of
  // the outputs.
  ImageTile at(int64_t index, const Images& images, int64_t before) const {
    const int64_t n = index / per_image(), place = index % per_image();
    return {.image = images.data + n * images.rows * images.columns * images.channels,
            .rows = images.rows,
            .columns = images.columns,
            .channels = images.channels,
            .y = place / across * kWinogradOut - before,
            .x = place % across * kWinogradOut - before};
  }
};

}  // namespace expunge::kernels
