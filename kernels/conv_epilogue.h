#pragma once

#include "kernels/batch_norm.h"
#include "kernels/norm_tile.h"

namespace expunge::kernels {

// What is done to a convolution's outputs while they are in the cache: y = relu(a y + b +
// residual).
struct ConvEpilogue {
  const float* line = nullptr;  // of batch norm; null: nothing is done
  int64_t K = 0;
  bool relu = false;
  const float* residual = nullptr;  // like y, or null
  const float* y = nullptr;         // where the outputs begin

  // Outputs [k, k + n) of m pixels; a pixel's output k is at out[i].
  void operator()(float* const* out, int m, int64_t k, int64_t n) const {
    if (line == nullptr) return;
    NormTile tile;
    tile.a = line + k, tile.b = line + K + k, tile.m = m, tile.n = n;
    tile.relu = relu, tile.adds = residual != nullptr;
    for (int i = 0; i < m; ++i) {
      tile.x[i] = tile.y[i] = out[i];
      if (residual != nullptr) tile.residual[i] = residual + (out[i] - y);
    }
    norm_tiles().apply(tile);
  }
};

}  // namespace expunge::kernels
