#pragma once

#include <cstdint>

// The two register tiles that all convolution and matrix products are made of. One source
// (conv_tile_isa.inc) is compiled once per instruction set into conv_tile_<isa>.cpp; those objects
// export one table each and share no inline function with the rest of the program. A tile of fewer
// than mr rows costs as much as it has rows; one of fewer than nr columns costs as much as a whole.
namespace expunge::kernels {

inline constexpr int kMaxTileRows = 12;

// c[i][j] = beta c[i][j] + bias[j] + sum_{s < segments, k < length} a[i][segment[s] + k] panel[s
// (length + skip) + k][j]
struct RowTile {
  const float* a[kMaxTileRows];
  float* c[kMaxTileRows];
  int m, n;                // valid rows and columns: 1..mr, 1..nr
  const int64_t* segment;  // offsets into a row of A
  int64_t segments, length;
  const float* panel;  // (segments * (length + skip), nr), zero where a column is not valid
  const float* bias;   // (n) or null
  float beta;
  int64_t skip = 0;  // rows of the panel that lie between two segments
};

// c[i][j] = beta c[i][j] + sum_{p < depth} a[p][i] b[p][j]
struct OuterTile {
  const float* a = nullptr;  // (depth, m), its rows lda apart
  const float* b = nullptr;  // (depth, nr), its rows ldb apart
  int64_t lda = 0, ldb = 0, depth = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  int m = 0, n = 0;
  float beta = 0;
  // Where given, row p of A starts at a + a_at[p] and row p of B at b + b_at[p]: pixels of an image
  // that one tap of a kernel reaches.
  const int32_t *a_at = nullptr, *b_at = nullptr;
};

struct ConvTiles {
  int mr, nr;
  void (*rows)(const RowTile&);
  void (*outer)(const OuterTile&);
  // panel[k][j] = w[j ld + k] for k < length, j < columns; 0 in the other columns of nr
  void (*transpose)(const float* w, int64_t ld, int columns, int64_t length, float* panel);
  // to[p][j] = from[at[p] + j] for p < depth, j < columns; 0 in the other columns of nr
  void (*gather)(const float* from, const int32_t* at, int64_t depth, int columns, float* to);
};

extern const ConvTiles kConvTilesBaseline, kConvTilesAvx2, kConvTilesAvx512;

const ConvTiles& conv_tiles();  // of isa()

}  // namespace expunge::kernels
