#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/batch_source.h"
#include "data/dataset.h"

namespace expunge::data {

enum class LastBatch : unsigned char { keep, drop };

struct LoaderConfig {
  std::vector<int32_t> positions = {};  // samples of the data set
  int64_t batch_size = 128;
  bool shuffle = false;  // order keyed by (seed, epoch)
  bool crop = false,
       flip = false;  // random crop with padding 4, horizontal flip; keyed by (seed, epoch, id)
  uint64_t seed = 0;
  LastBatch last = LastBatch::keep;
  bool prefetch = true;  // on the CPU: the next batch is made on a thread beside the step
  Stream stream = compute_stream();  // where the images go; labels and positions stay on the CPU
};

// "crop,flip", "flip", "none"; otherwise ExitCode::usage.
void parse_augment(const std::string& text, LoaderConfig& config);

// Batches of a data set: x = (pixel / 255 - mean) / std of the data set, labels, positions. `set`
// must outlive it.
class Loader final : public BatchSource {
 public:
  Loader(const Dataset& set, LoaderConfig config);
  ~Loader() override;
  int64_t samples() const override;
  int64_t batches() const override;
  void start(int epoch, int64_t first_batch = 0) override;
  bool next(Batch& batch) override;
  bool next_unmade(Batch& batch) override;  // on a GPU; on the CPU they are made ahead

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace expunge::data
