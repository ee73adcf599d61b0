#pragma once

#include <cmath>

#include "core/hd.h"
#include "kernels/batch_norm.h"
#include "kernels/reduce_math.h"

namespace expunge::math {

// A channel's count, mean and sum of squared deviations.
struct ChannelMoments {
  double count, mean, m2;
};

// Both together (Chan, Golub & LeVeque 1979). No cancellation where the mean is large.
EXPUNGE_HD void merge(ChannelMoments& into, const ChannelMoments& other) {
  if (other.count == 0) return;
  // f32 is exact enough for a share, and divides ten times as fast on a GPU
  const double delta = other.mean - into.mean, count = into.count + other.count,
               share = double{static_cast<float>(other.count) / static_cast<float>(count)};
  into.m2 += other.m2 + delta * delta * into.count * share;
  into.mean += delta * share;
  into.count = count;
}

// Of channel c: mean, invstd, running statistics.
EXPUNGE_HD void batch_statistics(const ChannelMoments& x, int64_t c, float eps,
                                 const kernels::RunningStatistics& running, float* mean,
                                 float* invstd) {
  const double var = x.m2 > 0 ? x.m2 / x.count : 0;  // rounding may leave it below 0
  mean[c] = static_cast<float>(x.mean);
  invstd[c] = static_cast<float>(1.0 / std::sqrt(var + double{eps}));
  if (running.mean == nullptr) return;
  const double unbiased = x.count > 1 ? x.m2 / (x.count - 1) : var, k = running.momentum;
  running.mean[c] = static_cast<float>((1 - k) * double{running.mean[c]} + k * x.mean);
  running.var[c] = static_cast<float>((1 - k) * double{running.var[c]} + k * unbiased);
}

EXPUNGE_HD float norm_invstd(float var, float eps) {
  return 1.0f / std::sqrt(var + eps);
}

// y = a x + b
struct NormLine {
  float a, b;
};
EXPUNGE_HD NormLine norm_line(float mean, float invstd, float gamma, float beta) {
  const float a = gamma * invstd;
  return {a, beta - mean * a};
}

// NaN stays NaN, so that the loss shows it.
EXPUNGE_HD float rectified(bool relu, float y) {
  return relu && y < 0.0f ? 0.0f : y;
}
// The gradient that reaches the sum before the ReLU.
EXPUNGE_HD float masked(bool relu, float dy, float y) {
  return !relu || y > 0.0f ? dy : 0.0f;
}

// dx = a g + b x + k of channel c
struct NormSlope {
  float a, b, k;
};
EXPUNGE_HD NormSlope norm_slope(const kernels::BatchNormBackward& t, int64_t c) {
  const double scale = double{t.gamma[c]} * double{t.invstd[c]},
               n = static_cast<double>(t.shape.pixels);
  if (!t.batch) return {static_cast<float>(scale), 0, 0};
  const double slope = -scale * t.sum_gx[c] * double{t.invstd[c]} / n;
  return {static_cast<float>(scale), static_cast<float>(slope),
          static_cast<float>(-scale * t.sum_g[c] / n - slope * double{t.mean[c]})};
}

// The gradients of channel c's gamma and beta.
EXPUNGE_HD void norm_parameters(const kernels::BatchNormBackward& t, int64_t c) {
  if (t.dgamma != nullptr) t.dgamma[c] = added(t.sum_gx[c], t.beta_gamma, t.dgamma[c]);
  if (t.dbeta != nullptr) t.dbeta[c] = added(t.sum_g[c], t.beta_beta, t.dbeta[c]);
}

}  // namespace expunge::math
