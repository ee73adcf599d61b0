#pragma once

#include <optional>

#include "eval/accuracy.h"
#include "tools/session.h"

namespace expunge::tools {

// How training is measured: on the validation part, or on the test part where there is none; at the
// end on the test part.
class HeldOut final : public Evaluation {
 public:
  explicit HeldOut(const Experiment& experiment);
  Findings during(RunStatus& status) override;
  void at_end(RunStatus& status, const RunFolder& run) override;

 private:
  const Experiment& e_;
  data::Loader held_out_, test_;
  std::optional<eval::Accuracy> held_;  // what during() found last
};

// Batches for measuring: in the given order, not augmented.
inline constexpr int64_t kPlainBatch = 250;
data::LoaderConfig plain_batches(std::vector<int32_t> positions, int64_t batch_size = kPlainBatch);

}  // namespace expunge::tools
