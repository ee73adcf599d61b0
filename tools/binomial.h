#pragma once

#include <cstdint>
#include <span>

// The statistics of checks: exact binomial quantiles and the Kolmogorov-Smirnov test.
namespace expunge::tools {

struct Interval {
  double low, high;
};

// Shares of n that a binomial with probability p leaves on either side with probability `risk` / 2
// at most: the share seen lies outside with probability `risk` at most.
Interval binomial_band(int64_t n, double p, double risk);

// The probability of so large a distance between the empirical distribution of `values` in [0, 1],
// which it sorts, and the uniform one (Kolmogorov 1933, asymptotic).
double uniform_p_value(std::span<float> values);

}  // namespace expunge::tools
