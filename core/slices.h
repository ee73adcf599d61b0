#pragma once

#include <algorithm>
#include <cstdint>

#include "core/param_store.h"

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

// A weight gradient that is a product: grad = dy^T x, the sum over the batch's rows of
// dy[i][o] x[i][c].
struct RowProduct {
  int64_t rows, in, out;
  const float* x;   // (rows, in); null: all ones, as for a bias (in = 1)
  const float* dy;  // (rows, out)
};

// Sees the parameters' gradients slice by slice, within one backward pass (Tape::add_parts).
class SliceSink {
 public:
  virtual ~SliceSink() = default;
  // How many slices a batch is cut into: 1 to `batch`.
  virtual int64_t slices(int64_t batch) const = 0;
  // What `images` contribute to a parameter's gradient, like its range. Slices come in order; `sum`
  // is what the earlier ones came to (anything at the first) and becomes what they come to with
  // this one.
  virtual void take(const Range& range, ImageRange images, const Tensor& part,
                    const Tensor& sum) = 0;
  // Whether gradients that are products come whole, through take_product; `sum` is final then.
  virtual bool wants_products() const = 0;
  virtual void take_product(const Range& range, const RowProduct& product, const Tensor& sum) = 0;
};

}  // namespace expunge
