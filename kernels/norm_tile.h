#pragma once

#include <cstdint>

// Batch norm on the CPU with statistics that are known. One source (norm_tile_isa.inc) is compiled
// once per instruction set, as conv_tile.h says; without contraction, so bits are the same on each.
namespace expunge::kernels {

// Rows of n neighbouring values, each value of a channel of its own:
//   y[i][c] = relu(a[c] x[i][c] + b[c] + residual[i][c])
struct NormTile {
  static constexpr int kRows = 16;
  const float *a, *b;     // (n)
  const float* x[kRows];  // y may be x, or lie apart from it
  const float* residual[kRows];
  float* y[kRows];
  int m = 0;  // rows: 0..kRows
  int64_t n = 0;
  bool relu = false, adds = false;  // adds: there are residuals
};

extern void (*const kNormTileBaseline)(const NormTile&);
extern void (*const kNormTileAvx2)(const NormTile&);
extern void (*const kNormTileAvx512)(const NormTile&);

void norm_tile(const NormTile& tile);  // of isa()

}  // namespace expunge::kernels
