#pragma once

#include <cstdint>

// Batch norm on the CPU, some rows at a time. One source (norm_tile_isa.inc) is compiled once per
// instruction set, as conv_tile.h says; without contraction, so bits are the same on each.
namespace expunge::kernels {

// Rows of n neighbouring values, each value of a channel of its own:
//   y[i][c] = relu(a[c] x[i][c] + b[c] + residual[i][c]),   or + (ra[c] residual[i][c] + rb[c])
struct NormTile {
  static constexpr int kRows = 16;
  const float *a, *b;     // (n)
  const float* x[kRows];  // y may be x, or lie apart from it
  const float* residual[kRows];
  float* y[kRows];
  int m = 0;  // rows: 0..kRows
  int64_t n = 0;
  bool relu = false, adds = false;           // adds: there are residuals
  const float *ra = nullptr, *rb = nullptr;  // (n), or null
};

// Rows of C values, one behind the other; added row by row:
//   sum[c] += x - centre[c],   squares[c] += (x - centre[c])^2
// centre null: 0, and no squares.
struct NormMoments {
  int64_t rows, C;
  const float *x, *centre;  // (rows, C); (C)
  float *sum, *squares;     // (C)
};

// Where the gradient passes the ReLU: everywhere, without one; where the output is above 0; or
// where a x + b is, which is the output where nothing was added.
enum class NormPassing { everywhere, by_output, by_line };

// Rows of a gradient: g = dy where it passes.
struct NormGradientRows {
  int64_t rows, C;
  NormPassing passing;
  const float *x, *y, *dy;  // (rows, C)
  const float *a, *b;       // (C): the line
};
// Added row by row: sum_g[c] += g, sum_gx[c] += g (x - mean[c])
struct NormSumsTile {
  NormGradientRows in;
  const float* mean;
  float *sum_g, *sum_gx;  // (C)
};
// dresidual = beta_residual dresidual + g, then dx = beta_dx dx + (a g + b x + k); null: not wanted
struct NormBackwardTile {
  NormGradientRows in;
  const float *a, *b, *k;  // (C)
  float beta_dx, beta_residual;
  float *dx, *dresidual;  // (rows, C), perhaps the same
};

// Two rows of an image, of 2 windows pixels each; the largest of each window of 2 x 2 of them, and
// which it is (NormPool).
struct NormPoolTile {
  int64_t windows, C;
  const float *upper, *lower;  // (2 windows, C)
  float* y;                    // (windows, C)
  uint8_t* which;              // (windows, C), or null
};
// The other way, of pixels [begin, end) of images of `width` columns: dy where the maximum was, and
// 0 elsewhere.
struct NormUnpoolTile {
  int64_t begin, end, width, C;
  const float* dy;       // (all windows, C)
  const uint8_t* which;  // (all windows, C)
  float* out;            // (end - begin, C)
};

struct NormTiles {
  void (*apply)(const NormTile&);
  void (*moments)(const NormMoments&);
  void (*sums)(const NormSumsTile&);
  void (*backward)(const NormBackwardTile&);
  void (*pool)(const NormPoolTile&);
  void (*unpool)(const NormUnpoolTile&);
};
extern const NormTiles kNormTilesBaseline, kNormTilesAvx2, kNormTilesAvx512;

const NormTiles& norm_tiles();  // of isa()

}  // namespace expunge::kernels
