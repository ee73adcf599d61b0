#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/param_store.h"
#include "kernels/grad_alignment.h"

namespace expunge::unlearn {

// How sure a gradient's sign is (formulas: kernels/grad_alignment_math.h).
//   paper                 second moment, rho = 0.9 for the newest square; normal distribution
//   welford:K             mean and deviation over blocks of K batches, the last complete one; K - 1
//                         degrees of freedom
//   ema:rho               exponentially weighted, rho = decay, 0.8 to 0.999
// cdf=student|normal chooses the distribution of welford and ema (student by default).
struct EstimatorSpec {
  kernels::Estimator kind = kernels::Estimator::paper;
  int block = 8;
  double rho = 0.9;
  bool student = false;
  // "welford:8,cdf=normal"; anything else: ExitCode::usage.
  static EstimatorSpec parse(const std::string& text);
};

struct EstimatorRow {
  const char *name, *summary;
};
const std::vector<EstimatorRow>& estimators();

// The statistics of one objective's gradients over the steps.
class GradientStatistics {
 public:
  GradientStatistics(const EstimatorSpec& spec, const ParamStore& params);

  // What step `step` (from 0) does to the statistics.
  kernels::StatisticsRule rule(int64_t step) const;
  // Of the flat buffers, from element `offset` on.
  kernels::StatisticsState at(int64_t offset) const;
  // Whether phi says anything after step `step`.
  bool ready(int64_t step) const;

  // Named buffers to save and restore with a run.
  const std::vector<NamedBuffer>& state() const { return state_; }

 private:
  EstimatorSpec spec_;
  std::vector<NamedBuffer> state_;
};

}  // namespace expunge::unlearn
