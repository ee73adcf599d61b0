#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/param_store.h"
#include "kernels/grad_alignment.h"
#include "unlearn/slice_statistics.h"

namespace expunge::unlearn {

// How sure a gradient's sign is (formulas: kernels/grad_alignment_math.h, slice_moments_math.h).
//   paper                 second moment, rho = 0.9 for the newest square; normal distribution
//   welford:K             mean and deviation over blocks of K batches, the last complete one; K - 1
//                         degrees of freedom
//   ema:rho               exponentially weighted, rho = decay, 0.8 to 0.999
//   microbatch:k          deviation between k slices of the batch; k - 1 degrees of freedom
//   persample             deviation between the batch's images, B - 1 degrees of freedom
// All but paper take, after commas and in any order,
//   cdf=student|normal    the distribution (student)
//   shrink=on|off         phi as a posterior under true means drawn from N(0, tau^2), tau^2 taken
//                         from the tensor (off)
struct EstimatorSpec {
  kernels::Estimator kind = kernels::Estimator::paper;  // moments: microbatch, persample
  int block = 8;
  double rho = 0.9;
  int slices = 8;  // of a batch; 0: one an image
  bool student = false;
  bool shrink = false;
  // "welford:8,cdf=normal"; anything else: ExitCode::usage.
  static EstimatorSpec parse(const std::string& text);
};

struct EstimatorRow {
  const char *name, *summary;
};
const std::vector<EstimatorRow>& estimators();

// The statistics of one objective's gradients: over the steps, or within a step's batch.
class GradientStatistics {
 public:
  GradientStatistics(const EstimatorSpec& spec, const ParamStore& params);

  // What watches the gradients' slices in the backward pass; null where none are wanted.
  SliceStatistics* slices() { return slices_ ? &*slices_ : nullptr; }
  // Takes a parameter's gradient of step `step` (from 0) in as far as must be done for the whole
  // tensor at once. Once a step, before rule() and at(); `flat` is the flat buffer of gradients,
  // losses as GradAlignment's.
  void take_in(int parameter, int64_t step, const Tensor& flat, const float* losses = nullptr);

  // What step `step` does to the statistics of a parameter.
  kernels::StatisticsRule rule(int parameter, int64_t step) const;
  kernels::StatisticsState at(int parameter) const;
  // Whether that is the same for every parameter.
  bool one_rule() const { return !spec_.shrink; }
  // Whether phi says anything after step `step`.
  bool ready(int64_t step) const;

  // Named buffers to save and restore with a run.
  const std::vector<NamedBuffer>& state() const { return state_; }

 private:
  kernels::StatisticsRule running_rule(int64_t step) const;  // of the steps' statistics
  kernels::StatisticsState running_at(int64_t offset) const;
  bool has_moments() const { return spec_.shrink || slices_; }

  EstimatorSpec spec_;
  RangeTable table_;
  std::vector<NamedBuffer> state_;
  std::optional<SliceStatistics> slices_;
  Tensor mean_, squared_error_;  // flat moments; mean_ empty where it is the gradient itself
  Tensor prior_;                 // tau^2 of each parameter, with shrink
};

}  // namespace expunge::unlearn
