#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/spread.h"

// Statistics of runs that differ in one thing and share everything else, their seeds too.
namespace expunge::eval {

// values[i] - baseline[i] over the n pairs of which both were measured: mean, sd (n - 1), the
// interval mean -+ t_{0.975, n-1} sd / sqrt n, and the two-sided p of Student's paired t test that
// the true mean is 0. sd, interval and p need two pairs; p needs differences that differ.
struct PairedDifference {
  int64_t pairs = 0;
  double mean = kNotMeasured, sd = kNotMeasured;
  double low = kNotMeasured, high = kNotMeasured;
  double p = kNotMeasured;
};
PairedDifference paired_difference(std::span<const double> values,
                                   std::span<const double> baseline);

// Holm's step-down adjustment (Scand. J. Statist. 6, 1979) of the p that are numbers, m of them:
//   p'_(k) = min(1, max over j <= k of (m - j + 1) p_(j))
// Calling those with p' <= a different is wrong about any with probability a at most, whatever
// their dependence.
std::vector<double> holm(std::span<const double> p);

}  // namespace expunge::eval
