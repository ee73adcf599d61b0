#pragma once

#include <cstdint>
#include <span>

#include "eval/spread.h"

namespace expunge::eval {

// Logistic regression of one number, minimising
//   slope^2 / 2 + sum_i log(1 + exp(-t_i (slope x_i + intercept))),   t = 1 for members, else -1
// (scikit-learn's LogisticRegression: C = 1, the intercept free), by Newton steps in double.
struct Logistic {
  double slope = 0, intercept = 0;
  bool member(double x) const { return slope * x + intercept > 0; }
};
Logistic fit_logistic(std::span<const double> members, std::span<const double> non_members);

struct LossAttackConfig {
  uint64_t seed = 0;
  int folds = 10;           // SCRUB: 5
  double test_share = 0.1;  // of each class in each fold
};

// The loss attack of the NeurIPS 2023 unlearning kit and of SCRUB (Kurmanji et al. 2023): F
// (members) against T (non-members), the larger cut at random to the size of the smaller;
// stratified shuffled folds, each with its test part drawn anew; a logistic regression of the
// cross-entropy. 0.5 is what a model gets that never saw F. Both sides need two samples.
struct LossAttack {
  double accuracy = kNotMeasured;  // on the test parts, mean over the folds
  double sd = kNotMeasured;        // over the folds
};
LossAttack loss_attack(std::span<const double> member_losses,
                       std::span<const double> non_member_losses, const LossAttackConfig& config);

}  // namespace expunge::eval
