#include "eval/paired.h"

#include <algorithm>

#include "core/check.h"
#include "core/student_t.h"

namespace expunge::eval {

PairedDifference paired_difference(std::span<const double> values,
                                   std::span<const double> baseline) {
  EXPUNGE_CHECK(values.size() == baseline.size(), "paired_difference: {} values, {} of a baseline",
                values.size(), baseline.size());
  std::vector<double> differences;
  for (size_t i = 0; i < values.size(); ++i)
    if (const double d = values[i] - baseline[i]; std::isfinite(d)) differences.push_back(d);
  const Spread spread = spread_of(differences);
  PairedDifference result{.pairs = std::ssize(differences), .mean = spread.mean, .sd = spread.sd};
  if (result.pairs < 2) return result;
  const auto n = static_cast<double>(result.pairs);
  const double error = spread.sd / std::sqrt(n);
  const double half = student_quantile(0.975, n - 1) * error;
  result.low = spread.mean - half, result.high = spread.mean + half;
  if (error > 0) result.p = 2 * student_cdf(-std::abs(spread.mean) / error, n - 1);
  return result;
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::ranges::stable_sort(order, {}, [&](size_t i) { return p[i]; });
  std::vector<double> adjusted(p.size(), kNotMeasured);
  double largest = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    largest = std::max(largest, static_cast<double>(order.size() - k) * p[order[k]]);
    adjusted[order[k]] = std::min(1.0, largest);
  }
  return adjusted;
}

}  // namespace expunge::eval
