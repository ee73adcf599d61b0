#include "tools/unlearn_batches.h"

#include <algorithm>

#include "data/draw_order.h"
#include "unlearn/saliency.h"

namespace expunge::tools {
namespace {

// Images augmented in epoch `first` only, as the code of arXiv 2511.02435 does.
class FirstEpochAugmented final : public BatchSource {
 public:
  FirstEpochAugmented(const data::Dataset& set, const data::LoaderConfig& config, int first)
      : augmented_(set, config), plain_(set, without_augmentation(config)), first_(first) {}
  static data::LoaderConfig without_augmentation(data::LoaderConfig config) {
    config.crop = config.flip = false;
    return config;
  }
  int64_t samples() const override { return plain_.samples(); }
  int64_t batches() const override { return plain_.batches(); }
  void start(int epoch, int64_t first_batch) override {
    now_ = epoch == first_ ? &augmented_ : &plain_;
    now_->start(epoch, first_batch);
  }
  bool next(Batch& batch) override { return now_->next(batch); }
  bool next_unmade(Batch& batch) override { return now_->next_unmade(batch); }

 private:
  data::Loader augmented_, plain_;
  data::Loader* now_ = &plain_;
  int first_;
};

}  // namespace

std::unique_ptr<BatchSource> unlearn_batches(const Settings& s, const data::Dataset& set,
                                             data::LoaderConfig wanted,
                                             unlearn::Prologue prologue) {
  data::LoaderConfig config{.positions = std::move(wanted.positions),
                            .batch_size = wanted.batch_size,
                            .shuffle = true,
                            .seed = static_cast<uint64_t>(s.integer("seed")),
                            .last = wanted.last};
  data::parse_augment(s.text("augment"), config);
  const std::string& when = s.text("unlearn-augment");
  if (when == "first-epoch" && (config.crop || config.flip))
    return std::make_unique<FirstEpochAugmented>(
        set, config, prologue == unlearn::Prologue::none ? 0 : unlearn::kBeforeFirstStep);
  if (when == "none") config = FirstEpochAugmented::without_augmentation(config);
  return std::make_unique<data::Loader>(set, config);
}

std::vector<int32_t> retained_for_steps(const Settings& s, const Experiment& e) {
  const double fraction = s.real("retain-fraction");
  if (fraction >= 1) return e.train;
  std::vector<int32_t> positions = e.train;
  data::shuffle_keyed(positions, static_cast<uint64_t>(s.integer("seed")), rng::Purpose::shuffle,
                      unlearn::kBeforeFirstStep + 1);
  const double wanted = fraction * static_cast<double>(positions.size());
  positions.resize(std::max<size_t>(1, static_cast<size_t>(wanted)));
  return positions;
}

}  // namespace expunge::tools
