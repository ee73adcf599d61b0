#pragma once

#include <algorithm>
#include <cstdint>

namespace expunge {

// Images [begin, end) of a batch of `batch`.
struct ImageRange {
  int64_t begin, end, batch;
};

// Slice j of k: the first batch % k slices have an image more than the others.
inline ImageRange image_slice(int64_t batch, int64_t k, int64_t j) {
  const auto begin = [&](int64_t i) { return i * (batch / k) + std::min(i, batch % k); };
  return {begin(j), begin(j + 1), batch};
}

// Slices [first, first + count) of the k that a batch is cut into.
struct SliceRun {
  int64_t batch, k, first, count;
  ImageRange images(int64_t place) const { return image_slice(batch, k, first + place); }
};
inline constexpr int64_t kSlicesTogether = 8;  // count, at most

// A weight gradient that is a product: grad = dy^T x, the sum over the batch's rows of
// dy[i][o] x[i][c].
struct RowProduct {
  int64_t rows, in, out;
  const float* x;   // (rows, in); null: all ones, as for a bias (in = 1)
  const float* dy;  // (rows, out)
};

}  // namespace expunge
