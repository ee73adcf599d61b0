#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/spread.h"

namespace expunge::eval {

// Every threshold's outcome where a sample is called positive if its score >= the threshold. Equal
// scores fall together.
struct RocPoint {
  double threshold;
  int64_t true_positives, false_positives;
};
struct Roc {
  int64_t positives = 0, negatives = 0;
  std::vector<RocPoint> points{};  // from (+infinity, 0, 0) down to the lowest score, (., P, N)

  // P(score of a positive > that of a negative) + P(equal) / 2: Mann-Whitney's U over P N.
  double auc() const;
  // The highest true positive rate among thresholds whose false positive rate is at most `fpr`; no
  // interpolation. With fewer than 1 / fpr negatives: the rate at no false positive.
  double tpr_at(double fpr) const;
  // max over thresholds of (TPR + 1 - FPR) / 2
  double best_balanced_accuracy() const;
  // Share of right answers where scores above the threshold are called positive, those below it
  // negative, and a coin decides about equal ones.
  double accuracy_at(double threshold) const;
};
// Neither empty; no NaN.
Roc roc_curve(std::span<const double> positives, std::span<const double> negatives);

// F (positives) against T by one score; AUC 0.5 is what a model gets that never saw F.
struct ThresholdAttack {
  double auc = kNotMeasured, tpr_at_0_1_percent = kNotMeasured, tpr_at_1_percent = kNotMeasured;
};
ThresholdAttack threshold_attack(std::span<const double> forget, std::span<const double> test);

}  // namespace expunge::eval
