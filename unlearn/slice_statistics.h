#pragma once

#include "core/param_store.h"
#include "core/slices.h"

namespace expunge::unlearn {

// How gradients differ between the slices of one batch: SE^2 of a pass's gradients, while it runs.
// With batch statistics in batch norm the slices hang together, and SE^2 is approximate.
class SliceStatistics final : public SliceSink {
 public:
  // slices: of a batch; 0 for one an image, and then linear layers by the squares identity.
  SliceStatistics(int slices, const ParamStore& params);

  void start(int64_t images);  // before a pass over a batch
  // The same where the pass is recorded and will be launched.
  void expect(int64_t images) { images_ = images; }
  // Slices less one: what Student's distribution takes. At least 1.
  int64_t degrees() const;
  const Tensor& squared_error() const { return squared_error_; }  // flat

  int64_t slices(int64_t batch) const override;
  void take(const Range& range, const SliceRun& run, const Tensor& parts,
            const Tensor& sum) override;
  bool wants_products() const override { return slices_ == 0; }
  void take_product(const Range& range, const RowProduct& product, const Tensor& sum) override;

 private:
  int slices_;
  int64_t images_ = 0;
  Tensor squared_error_;
};

}  // namespace expunge::unlearn
