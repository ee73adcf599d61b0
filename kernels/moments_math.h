#pragma once

#include "core/hd.h"
#include "kernels/moments.h"

namespace expunge::math {

// Parameter i of take_in.
EXPUNGE_HD void take_in(const kernels::StatisticsRule& rule, const float* g,
                        const kernels::StatisticsState& s, const kernels::MomentsOut& out,
                        int64_t i) {
  if (rule.estimator == kernels::Estimator::ema) {
    out.squared_error[i] = ema_error(rule.ema, g[i], s.s0[i], s.s1[i]);
    return;
  }
  welford(rule.welford, g[i], s.s0[i], s.s1[i]);
  if (rule.welford.scale == 0.0f) return;
  out.mean[i] = s.s0[i];
  out.squared_error[i] = s.s1[i] * rule.welford.scale;
}

// tau^2 = max(0, sum of the terms / n)
EXPUNGE_HD double prior_term(float mean, float squared_error) {
  return double{mean} * double{mean} - double{squared_error};
}
EXPUNGE_HD float prior_variance(double sum, int64_t n) {
  return sum > 0 ? static_cast<float>(sum / static_cast<double>(n)) : 0.0f;
}

}  // namespace expunge::math
