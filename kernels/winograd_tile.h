#pragma once

#include <cstdint>

// The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308): a tile of 4 x 4
// outputs of a 3x3 convolution of stride 1 costs 36 products a channel pair instead of 144,
//   y = A^T [ (G w G^T) . (B^T d B) ] A,          d the 6 x 6 inputs of the tile,
//   dw = G^T [ sum over tiles (A dy A^T) . (B^T d B) ] G,
// where . multiplies plane by plane, p = 0 .. 35. One source (winograd_tile_isa.inc) is compiled
// once per instruction set, as conv_tile.h says.
namespace expunge::kernels {

inline constexpr int kWinogradOut = 4, kWinogradIn = 6, kWinogradPlanes = 36;

// A tile of an image (rows, columns, channels); it may reach over the edges, where reading gives 0
// and writing does nothing.
struct ImageTile {
  const float* image;
  int64_t rows, columns, channels;
  int64_t y, x;  // its first row and column; may be negative
};

// Transformed values of one tile: (p, c) at data[p plane + c / width block + c % width].
struct TilePlanes {
  float* data;
  int64_t plane, width, block;
};

struct WinogradTransforms {
  int lanes;  // channels in a vector

  // B^T d B of the 6 x 6 inputs, for `channels` rounded up to lanes: zeros beyond them
  void (*input)(const ImageTile& tile, const TilePlanes& out);
  // A dy A^T of the 4 x 4 output gradients; each block holds out.width <= lanes channels in lanes
  // floats
  void (*output_gradient)(const ImageTile& tile, const TilePlanes& out);
  // image[..][c0 .. c0 + n) = beta image + bias + A^T m A;  m: plane p at m + p plane
  void (*output)(const float* m, int64_t plane, const float* bias, float beta, int64_t c0, int n,
                 const ImageTile& tile, float* image);
  // G w G^T for output channels [k0, k0 + n): panel p at u + p plane, (C, width), zero from n on
  void (*weights)(const float* w, int64_t C, int64_t k0, int n, int width, float* u, int64_t plane);
  // the same for the gradient by x: taps reversed, panels (K, width) over input channels [c0, c0 +
  // n)
  void (*weights_reversed)(const float* w, int64_t K, int64_t C, int64_t c0, int n, int width,
                           float* u, int64_t plane);
  // dw[t C + c] = beta dw + (G^T m G)[t], t = 0 .. 8, for n channels from c = 0 on
  void (*weight_gradient)(const float* m, int64_t plane, float beta, int64_t C, int64_t n,
                          float* dw);
};

extern const WinogradTransforms kWinogradBaseline, kWinogradAvx2, kWinogradAvx512;

const WinogradTransforms& winograd_transforms();  // of isa()

}  // namespace expunge::kernels
