#pragma once

#include "core/batch_source.h"
#include "support/op_harness.h"

namespace expunge::test {

inline constexpr int64_t kSamples = 6, kClasses = 5;

// Batches of kSamples random images with labels; `first` tells sources apart.
class Images final : public BatchSource {
 public:
  Images(int first, int64_t batches) : first_(first), batches_(batches) {}
  int64_t samples() const override { return batches_ * kSamples; }
  int64_t batches() const override { return batches_; }
  void start(int epoch, int64_t batch) override { epoch_ = epoch, next_ = batch; }
  bool next(Batch& batch) override {
    if (next_ == batches_) return false;
    batch = at(epoch_, next_++);
    return true;
  }
  Batch at(int epoch, int64_t place) const {
    const auto key = static_cast<uint64_t>(first_ + 100 * epoch + place);
    Batch batch{.x = to_tensor(normal_values(kSamples * 8 * 8 * 3, key), {kSamples, 8, 8, 3})};
    batch.labels = Tensor({kSamples}, DType::i32);
    batch.index = Tensor({kSamples}, DType::i32);
    for (int64_t i = 0; i < kSamples; ++i) {
      batch.labels.as<int32_t>()[i] =
          static_cast<int32_t>((key + static_cast<uint64_t>(i)) % kClasses);
      batch.index.as<int32_t>()[i] = static_cast<int32_t>(key * kSamples) + static_cast<int32_t>(i);
    }
    return batch;
  }

 private:
  int first_;
  int64_t batches_, next_ = 0;
  int epoch_ = 0;
};

}  // namespace expunge::test
