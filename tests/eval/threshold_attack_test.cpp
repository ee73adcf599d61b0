#include "eval/threshold_attack.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/rng.h"
#include "support/error.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

// Scores on a grid of `levels`, so that ties are frequent.
std::vector<double> gridded(int64_t n, uint32_t levels, uint32_t key) {
  std::vector<double> out;
  for (int64_t i = 0; i < n; ++i)
    out.push_back(rng::below(
        rng::philox(key, rng::Purpose::test, {{static_cast<uint32_t>(i), 0, 0, 0}}).word[0],
        levels));
  return out;
}

// By definition, over all pairs and all thresholds.
double auc_by_pairs(const std::vector<double>& positives, const std::vector<double>& negatives) {
  double wins = 0;
  for (const double p : positives)
    for (const double n : negatives) wins += p > n ? 1 : p == n ? 0.5 : 0;
  return wins / static_cast<double>(positives.size() * negatives.size());
}

double share_from(const std::vector<double>& scores, double threshold) {
  double count = 0;
  for (const double s : scores) count += s >= threshold;
  return count / static_cast<double>(scores.size());
}

double tpr_by_thresholds(const std::vector<double>& positives, const std::vector<double>& negatives,
                         double fpr) {
  std::vector<double> thresholds = positives;
  thresholds.insert(thresholds.end(), negatives.begin(), negatives.end());
  double best = 0;
  for (const double t : thresholds)
    if (share_from(negatives, t) <= fpr) best = std::max(best, share_from(positives, t));
  return best;
}

}  // namespace

TEST_CASE("threshold attack: AUC and rates are those of all pairs and all thresholds, with ties") {
  for (const uint32_t levels : {2u, 7u, 40u, 1u << 30}) {
    const auto positives = gridded(150, levels, 1), negatives = gridded(220, levels, 2);
    const Roc roc = roc_curve(positives, negatives);
    CHECK(roc.auc() == doctest::Approx(auc_by_pairs(positives, negatives)).epsilon(1e-13));
    for (const double fpr : {0.0, 0.001, 0.01, 0.1, 0.5, 1.0})
      CHECK(roc.tpr_at(fpr) == tpr_by_thresholds(positives, negatives, fpr));
    double best = 0.5;
    for (const double t : positives)
      best = std::max(best, (share_from(positives, t) + 1 - share_from(negatives, t)) / 2);
    CHECK(roc.best_balanced_accuracy() >= best);
    for (const double t : {-1.0, 0.0, 1.0, positives[0], 1e10}) {
      double right = 0;
      for (const double p : positives) right += p > t ? 1 : p == t ? 0.5 : 0;
      for (const double n : negatives) right += n < t ? 1 : n == t ? 0.5 : 0;
      CHECK(roc.accuracy_at(t) == doctest::Approx(right / 370).epsilon(1e-13));
    }
  }
}

TEST_CASE("threshold attack: separated, reversed and equal scores") {
  const std::vector<double> high{3, 4, 5}, low{0, 1, 2}, same{1, 1};
  CHECK(roc_curve(high, low).auc() == 1);
  CHECK(roc_curve(high, low).tpr_at(0) == 1);
  CHECK(roc_curve(high, low).best_balanced_accuracy() == 1);
  CHECK(roc_curve(low, high).auc() == 0);
  CHECK(roc_curve(low, high).tpr_at(0.01) == 0);
  CHECK(roc_curve(same, same).auc() == 0.5);
  CHECK(roc_curve(same, same).points.size() == 2);
}

TEST_CASE("threshold attack: a false positive counts from 1 / negatives on") {
  std::vector<double> negatives(100, 0.0), positives{0.5, 2};
  negatives[0] = 1;  // above one positive: 1 % are false
  const ThresholdAttack attack = threshold_attack(positives, negatives);
  CHECK(attack.tpr_at_0_1_percent == 0.5);
  CHECK(attack.tpr_at_1_percent == 1);
  CHECK(attack.auc == doctest::Approx(0.995));
}

TEST_CASE("threshold attack: infinite scores have their place, NaN and empty sides are refused") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> some{-kInfinity, 1}, others{0, kInfinity}, none;
  CHECK(roc_curve(some, others).auc() == 0.25);
  const std::vector<double> bad{std::numeric_limits<double>::quiet_NaN()};
  CHECK(error_code([&] { roc_curve(some, bad); }) == ExitCode::internal);
  CHECK(error_code([&] { roc_curve(none, some); }) == ExitCode::internal);
}
