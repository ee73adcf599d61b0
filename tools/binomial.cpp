#include "tools/binomial.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace expunge::tools {
namespace {

// The most k with P(X < k) <= risk, X binomial. The sum begins where nothing is lost: 40 standard
// deviations below the mean.
int64_t lower_quantile(int64_t n, double p, double risk) {
  const auto N = static_cast<double>(n);
  const double mean = N * p, sd = std::sqrt(mean * (1 - p));
  int64_t k = std::max<int64_t>(0, static_cast<int64_t>(mean - 40 * sd - 40));
  const auto log_probability = [&](int64_t i) {
    const auto x = static_cast<double>(i);
    return std::lgamma(N + 1) - std::lgamma(x + 1) - std::lgamma(N - x + 1) + x * std::log(p) +
           (N - x) * std::log1p(-p);
  };
  double below = 0;
  for (; k <= n; ++k) {
    below += std::exp(log_probability(k));
    if (below > risk) return k;
  }
  return n;
}

}  // namespace

Interval binomial_band(int64_t n, double p, double risk) {
  EXPUNGE_CHECK(n >= 0 && p >= 0 && p <= 1 && risk > 0 && risk < 1,
                "binomial band of {} with {}, risk {}", n, p, risk);
  if (n == 0) return {0, 1};
  if (p == 0 || p == 1) return {p, p};
  const auto N = static_cast<double>(n);
  return {static_cast<double>(lower_quantile(n, p, risk / 2)) / N,
          1 - static_cast<double>(lower_quantile(n, 1 - p, risk / 2)) / N};
}

double uniform_p_value(std::span<float> values) {
  std::ranges::sort(values);
  const auto N = static_cast<double>(values.size());
  double distance = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double u = double{values[i]}, rank = static_cast<double>(i);
    distance = std::max({distance, u - rank / N, (rank + 1) / N - u});
  }
  // Stephens 1970: close for all N
  const double lambda = (std::sqrt(N) + 0.12 + 0.11 / std::sqrt(N)) * distance;
  if (lambda < 0.2) return 1;
  double p = 0;
  for (int k = 1; k <= 100; ++k)
    p += (k % 2 == 1 ? 2 : -2) * std::exp(-2.0 * k * k * lambda * lambda);
  return std::clamp(p, 0.0, 1.0);
}

}  // namespace expunge::tools
