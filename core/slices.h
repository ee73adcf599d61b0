#pragma once

#include "core/batch_parts.h"
#include "core/param_store.h"

namespace expunge {

// Sees the parameters' gradients slice by slice, within one backward pass (Tape::add_parts).
class SliceSink {
 public:
  virtual ~SliceSink() = default;
  // How many slices a batch is cut into: 1 to `batch`.
  virtual int64_t slices(int64_t batch) const = 0;
  // What each of a run of slices contributes to a parameter's gradient: parts (at least run.count,
  // at least the range's size), a row each. Runs come in order; `sum` is what the earlier ones came
  // to (anything at the first) and becomes what they come to with this one.
  virtual void take(const Range& range, const SliceRun& run, const Tensor& parts,
                    const Tensor& sum) = 0;
  // Whether gradients that are products come whole, through take_product; `sum` is final then.
  virtual bool wants_products() const = 0;
  virtual void take_product(const Range& range, const RowProduct& product, const Tensor& sum) = 0;
};

}  // namespace expunge
