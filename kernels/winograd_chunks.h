#pragma once

#include "kernels/conv2d.h"
#include "kernels/winograd_grid.h"

// How a convolution by Winograd on a GPU (winograd_cuda.h) goes through its images: so many at a
// time, whose planes lie in memory between the kernels.
namespace expunge::kernels::cuda {

// Images (rows, columns, channels) and the tiles of 4 x 4 outputs over them, whose pixels begin
// `before` rows and columns ahead of the outputs; tiles are numbered image by image.
struct TiledImages {
  int64_t count;
  int rows, columns, channels;
  int down, across;  // tiles of an image
  int before;

  int64_t tiles() const { return count * down * across; }
  int64_t size() const { return count * rows * columns * channels; }
  int64_t plane() const { return tiles() * channels; }
};

inline TiledImages winograd_inputs(const Conv2dShape& s, int64_t count) {
  const TileGrid tiles(s.P(), s.Q());
  return {.count = count,
          .rows = static_cast<int>(s.H),
          .columns = static_cast<int>(s.W),
          .channels = static_cast<int>(s.C),
          .down = static_cast<int>(tiles.down),
          .across = static_cast<int>(tiles.across),
          .before = static_cast<int>(s.pad)};
}
inline TiledImages winograd_outputs(const Conv2dShape& s, int64_t count) {
  const TileGrid tiles(s.P(), s.Q());
  return {.count = count,
          .rows = static_cast<int>(s.P()),
          .columns = static_cast<int>(s.Q()),
          .channels = static_cast<int>(s.K),
          .down = static_cast<int>(tiles.down),
          .across = static_cast<int>(tiles.across),
          .before = 0};
}

// The convolution of dy with the taps reversed that gives the gradient by x.
inline Conv2dShape winograd_of_gradient(const Conv2dShape& s) {
  return {.N = s.N, .H = s.P(), .W = s.Q(), .C = s.K, .K = s.C, .R = 3, .S = 3, .pad = 2 - s.pad};
}

// For gradients of weights the tiles are shared out among so many products of each plane, as many
// to each: else there are too few products for a GPU's multiprocessors, which take some 64 x 64
// numbers at a time.
inline int64_t winograd_parts(const Conv2dShape& s, int64_t images) {
  constexpr int64_t kSide = 64, kEnough = 512, kLeastTiles = 256;
  const int64_t blocks =
                    kWinogradPlanes * ((s.K + kSide - 1) / kSide) * ((s.C + kSide - 1) / kSide),
                tiles = winograd_inputs(s, images).tiles();
  int64_t parts = 1;
  while (parts * blocks < kEnough && tiles % (2 * parts) == 0 && tiles / (2 * parts) >= kLeastTiles)
    parts *= 2;
  return parts;
}

// Bytes of planes of inputs and outputs, and all to work in: planes of the weights, of `parts`
// products, too.
inline int64_t winograd_planes_bytes(const Conv2dShape& s, int64_t images) {
  const int64_t floats = winograd_inputs(s, images).plane() + winograd_outputs(s, images).plane();
  return kWinogradPlanes * floats * static_cast<int64_t>(sizeof(float));
}
inline int64_t winograd_workspace(const Conv2dShape& s, int64_t images, int64_t parts = 1) {
  return kWinogradPlanes * parts * s.K * s.C * static_cast<int64_t>(sizeof(float)) +
         winograd_planes_bytes(s, images);
}
inline int64_t winograd_backward_data_workspace(const Conv2dShape& s, int64_t images) {
  return winograd_workspace(winograd_of_gradient(s), images);
}
inline int64_t winograd_backward_weights_workspace(const Conv2dShape& s, int64_t images) {
  return winograd_workspace(s, images, winograd_parts(s, images));
}

}  // namespace expunge::kernels::cuda
