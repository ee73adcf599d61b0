#pragma once

#include "kernels/grad_alignment.h"

// An estimator's mean and squared error of a whole tensor, for signals that need to know its spread
// first (shrinkage).
namespace expunge::kernels {

// (n) each. mean: null where the caller has it already: ema's is its state s0.
struct MomentsOut {
  float *mean, *squared_error;
};

// Takes the step's gradients into the statistics (n) of welford (s0 = m, s1 = M2) or ema (s0 = m,
// s1 = v). welford writes its moments at the end of a block and leaves them alone before; ema
// always does, infinity for SE^2 before its second sample. losses: as GradAlignment's.
void take_in(Stream stream, int64_t n, const StatisticsRule& rule, const float* g,
             const StatisticsState& state, const MomentsOut& out, const float* losses);

// *out = tau^2 = max(0, mean over the tensor of (m^2 - SE^2)), where the stream works: the variance
// of the true means, by moments. Sums in double, in the order of reduce.h. n > 0
void prior_variance(Stream stream, int64_t n, const float* mean, const float* squared_error,
                    float* out);

// The same on a GPU (moments.cu), with memory to work in.
namespace cuda {

void take_in(Stream stream, int64_t n, const StatisticsRule& rule, const float* g,
             const StatisticsState& state, const MomentsOut& out, const float* losses);
size_t prior_workspace(int64_t n);  // bytes
void prior_variance(Stream stream, int64_t n, const float* mean, const float* squared_error,
                    float* out, void* workspace);

}  // namespace cuda

}  // namespace expunge::kernels
