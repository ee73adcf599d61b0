#pragma once

#include <cmath>

#include "core/hd.h"
#include "kernels/batch_norm.h"
#include "kernels/norm_tile.h"
#include "kernels/reduce_math.h"

namespace expunge::math {

// A channel's count, mean and sum of squared deviations.
struct ChannelMoments {
  double count, mean, m2;
};

// Both together (Chan, Golub & LeVeque 1979). No cancellation where the mean is large.
EXPUNGE_HD void merge(ChannelMoments& into, const ChannelMoments& other) {
  if (other.count == 0) return;
  // f32 is exact enough for a share
  const double delta = other.mean - into.mean, count = into.count + other.count,
               share = double{static_cast<float>(other.count) / static_cast<float>(count)};
  into.m2 += other.m2 + delta * delta * into.count * share;
  into.mean += delta * share;
  into.count = count;
}

// y = a x + b
struct NormLine {
  float a, b;
  EXPUNGE_MEMBER_HD float operator()(float x) const { return a * x + b; }
};
EXPUNGE_HD void norm_line(float mean, float invstd, const float* gamma, const float* beta,
                          int64_t C, int64_t c, float* line) {
  const float a = gamma[c] * invstd;
  line[c] = a, line[C + c] = beta[c] - mean * a;
}

// Of channel c: mean, invstd, line, running statistics.
EXPUNGE_HD void batch_statistics(const ChannelMoments& x, int64_t c,
                                 const kernels::BatchNormStatistics& t) {
  const double m2 = x.m2 > 0 ? x.m2 : 0,  // rounding may leave it below 0
      var = x.count > 0 ? m2 / x.count : 0;
  t.mean[c] = static_cast<float>(x.mean);
  t.invstd[c] = static_cast<float>(1.0 / std::sqrt(var + double{t.eps}));
  norm_line(t.mean[c], t.invstd[c], t.gamma, t.beta, t.shape.C, c, t.line);
  const kernels::RunningStatistics& running = t.running;
  if (running.mean == nullptr) return;
  const double unbiased = x.count > 1 ? m2 / (x.count - 1) : var, k = running.momentum;
  running.mean[c] = static_cast<float>((1 - k) * double{running.mean[c]} + k * x.mean);
  running.var[c] = static_cast<float>((1 - k) * double{running.var[c]} + k * unbiased);
}
EXPUNGE_HD void known_statistics(const kernels::BatchNormKnown& t, int64_t c) {
  t.invstd[c] = 1.0f / std::sqrt(t.var[c] + t.eps);
  norm_line(t.mean[c], t.invstd[c], t.gamma, t.beta, t.C, c, t.line);
}

// NaN stays NaN, so that the loss shows it.
EXPUNGE_HD float rectified(bool relu, float y) {
  return relu && y < 0.0f ? 0.0f : y;
}
// The gradient that passes a ReLU that gave y, stored as a T.
template <class T = float>
EXPUNGE_HD float masked(float dy, float y) {
  return y > kRoundsToZero<T> ? dy : 0.0f;
}
using kernels::NormPassing;
EXPUNGE_HD NormPassing passing(bool relu, const void* y) {
  if (!relu) return NormPassing::everywhere;
  return y != nullptr ? NormPassing::by_output : NormPassing::by_line;
}

// sum g and sum g xhat of a channel
struct NormSums {
  double g, gx;
};
// dx = a g + b x + k of channel c
struct NormSlope {
  float a, b, k;
};
EXPUNGE_HD NormSlope norm_slope(const kernels::BatchNormBackward& t, int64_t c,
                                const NormSums& sums) {
  const double invstd = t.in.invstd[c], scale = double{t.gamma[c]} * invstd,
               n = static_cast<double>(t.in.shape.pixels);
  if (!t.batch) return {static_cast<float>(scale), 0, 0};
  const double slope = -scale * sums.gx * invstd / n;
  return {static_cast<float>(scale), static_cast<float>(slope),
          static_cast<float>(-scale * sums.g / n - slope * double{t.in.mean[c]})};
}

// The gradients of channel c's gamma and beta.
EXPUNGE_HD void norm_parameters(const kernels::BatchNormBackward& t, int64_t c,
                                const NormSums& sums) {
  if (t.dgamma != nullptr) t.dgamma[c] = added(sums.gx, t.beta_gamma, t.dgamma[c]);
  if (t.dbeta != nullptr) t.dbeta[c] = added(sums.g, t.beta_beta, t.dbeta[c]);
}

}  // namespace expunge::math
