#include "kernels/moments.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"

namespace expunge::kernels {

void take_in(Stream, int64_t n, const StatisticsRule& rule, const float* g,
             const StatisticsState& s, const MomentsOut& out) {
  EXPUNGE_CHECK(rule.estimator == Estimator::welford || rule.estimator == Estimator::ema,
                "take_in: estimator {}", static_cast<int>(rule.estimator));
  const bool ema = rule.estimator == Estimator::ema;
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (ema) {
        out.squared_error[i] = math::ema_error(rule.ema, g[i], s.s0[i], s.s1[i]);
        continue;
      }
      math::welford(rule.welford, g[i], s.s0[i], s.s1[i]);
      if (rule.welford.scale == 0.0f) continue;
      out.mean[i] = s.s0[i];
      out.squared_error[i] = s.s1[i] * rule.welford.scale;
    }
  });
}

float prior_variance(Stream, int64_t n, const float* mean, const float* squared_error) {
  if (n == 0) return 0;
  std::vector<double> sums(static_cast<size_t>((n + kElementChunk - 1) / kElementChunk));
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i)
      sum += double{mean[i]} * double{mean[i]} - double{squared_error[i]};
    sums[static_cast<size_t>(begin / kElementChunk)] = sum;
  });
  double sum = 0;
  for (double s : sums) sum += s;
  return static_cast<float>(std::max(0.0, sum / static_cast<double>(n)));
}

}  // namespace expunge::kernels
