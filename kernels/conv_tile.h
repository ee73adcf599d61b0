#pragma once

#include <cstdint>

// The two register tiles that all convolution and matrix products are made of. One source
// (conv_tile_isa.inc) is compiled once per instruction set into conv_tile_<isa>.cpp; those objects
// export one table each and share no inline function with the rest of the program.
namespace expunge::kernels {

inline constexpr int kMaxTileRows = 8;

// c[i][j] = beta c[i][j] + bias[j] + sum_{s < segments, k < length} a[i][segment[s] + k] panel[s
// length + k][j]
struct RowTile {
  const float* a[kMaxTileRows];  // rows >= m repeat row 0's value
  float* c[kMaxTileRows];
  int m, n;                // valid rows and columns: 1..mr, 1..nr
  const int64_t* segment;  // offsets into a row of A
  int64_t segments, length;
  const float* panel;  // (segments * length, nr), zero where a column is not valid
  const float* bias;   // (n) or null
  float beta;
};

// c[i][j] = beta c[i][j] + sum_{p < depth} a[p][i] b[p][j]
struct OuterTile {
  const float* a;  // (depth, mr), its rows lda apart, zero where a row is not valid
  const float* b;  // (depth, nr), its rows ldb apart
  int64_t lda, ldb, depth;
  float* c;
  int64_t ldc;
  int m, n;
  float beta;
};

struct ConvTiles {
  int mr, nr;
  void (*rows)(const RowTile&);
  void (*outer)(const OuterTile&);
};

extern const ConvTiles kConvTilesBaseline, kConvTilesAvx2, kConvTilesAvx512;

const ConvTiles& conv_tiles();  // of isa()

}  // namespace expunge::kernels
