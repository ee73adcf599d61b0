#pragma once

#include <cmath>
#include <limits>
#include <span>

namespace expunge::eval {

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// Mean, and standard deviation with n - 1. Of nothing: both kNotMeasured; of one value: sd is.
struct Spread {
  double mean = kNotMeasured, sd = kNotMeasured;
};
inline Spread spread_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, values.size() < 2 ? kNotMeasured : std::sqrt(squares / (n - 1))};
}

}  // namespace expunge::eval
