#pragma once

#include <string>
#include <vector>

#include "tools/binomial.h"
#include "tools/redraws.h"

// Is phi what it says? Three experiments on tools/redraws.h for each estimator
// (docs/calibration.md).
namespace expunge::tools {

struct CalibrationConfig {
  RedrawConfig draws;
  std::vector<std::string> estimators;
  int pit_bins = 20, phi_bins = 10;
  double risk = 0.01;  // that a bin of an experiment leaves its band by chance, all taken together
  double near_low = 0.9, near_high = 0.94;  // phi of the pairs that stand for the narrow law
};

struct Bin {
  double low = 0, high = 1;  // of u or phi
  int64_t count = 0;
  double expected = 0;  // PIT: share of all; otherwise the mean phi
  double seen = 0;      // PIT: share of all; otherwise how often the true means agree
  Interval band{0, 1};  // of `seen`, if it is as expected
};
using Bins = std::vector<Bin>;

// How far outside of its band the worst bin lies; 0: none does.
double excess(const Bins& bins);
// The mean of |mean phi - came true| over all pairs.
double calibration_error(const Bins& bins);

struct Calibration {
  std::string estimator;
  double degrees = 0;      // of freedom
  Bins pit;                // Law::wide
  double pit_p_value = 1;  // Kolmogorov-Smirnov
  Bins wide, one_noise;    // phi against agreement
  Bins narrow, shrunk;     // Law::narrow, shrink=off and on
  Bin near;                // of `narrow`, phi in [near_low, near_high)
};
std::vector<Calibration> calibrate(const CalibrationConfig& config);

// What must hold for the check to pass.
struct CalibrationBands {
  double pit_excess = 0, pit_excess_ema = 0;  // of Bins pit; ema's distribution is approximate
  double wide_excess = 0, one_noise_excess = 0;
  double near_low = 0, near_high = 1;  // of near.seen
  double shrunk_error = 1;             // of calibration_error(shrunk)
};
struct Verdict {
  std::string estimator, what;
  double value, low, high;
  bool holds() const { return value >= low && value <= high; }
};
std::vector<Verdict> verdicts(const std::vector<Calibration>& all, const CalibrationBands& bands);

// For people, for programs, for the eye.
std::string calibration_table(const std::vector<Calibration>& all);
std::string calibration_csv(const std::vector<Calibration>& all);
std::string pit_svg(const std::vector<Calibration>& all);
std::string agreement_svg(const std::vector<Calibration>& all);
std::string narrow_svg(const std::vector<Calibration>& all);

}  // namespace expunge::tools
