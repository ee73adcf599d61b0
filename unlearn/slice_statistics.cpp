#include "unlearn/slice_statistics.h"

#include "core/check.h"
#include "kernels/slice_moments.h"

namespace expunge::unlearn {

SliceStatistics::SliceStatistics(int slices, const ParamStore& params)
    : slices_(slices), squared_error_(params.make_buffer()) {}

void SliceStatistics::start(int64_t images) {
  expect(images);
  squared_error_.zero();  // a parameter that no gradient reaches has mean 0 and SE^2 0
}

int64_t SliceStatistics::slices(int64_t batch) const {
  EXPUNGE_CHECK(batch == images_, "slice statistics: a layer sees {} images, the batch has {}",
                batch, images_);
  return slices_ == 0 ? batch : std::min<int64_t>(slices_, batch);
}

int64_t SliceStatistics::degrees() const {
  return std::max<int64_t>(1, slices(images_) - 1);
}

void SliceStatistics::take(const Range& range, const SliceRun& run, const Tensor& parts,
                           const Tensor& sum) {
  EXPUNGE_CHECK(run.k == slices(run.batch), "slice statistics: {} slices, expected {}", run.k,
                slices(run.batch));
  kernels::slice_moments(squared_error_.stream(), range.size, kernels::slice_rules(run),
                         parts.data(), parts.dim(1), sum.data(),
                         squared_error_.data() + range.offset);
}

void SliceStatistics::take_product(const Range& range, const RowProduct& product,
                                   const Tensor& sum) {
  EXPUNGE_CHECK(product.rows == images_, "slice statistics: {} rows, the batch has {} images",
                product.rows, images_);
  kernels::product_error(squared_error_.stream(), product, sum.data(),
                         squared_error_.data() + range.offset);
}

}  // namespace expunge::unlearn
