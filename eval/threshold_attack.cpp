#include "eval/threshold_attack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/check.h"

namespace expunge::eval {
namespace {

double share(int64_t part, int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Roc roc_curve(std::span<const double> positives, std::span<const double> negatives) {
  EXPUNGE_CHECK(!positives.empty() && !negatives.empty(), "roc: {} positives, {} negatives",
                positives.size(), negatives.size());
  std::vector<std::pair<double, bool>> scores;
  for (const double s : positives) scores.emplace_back(s, true);
  for (const double s : negatives) scores.emplace_back(s, false);
  for (const auto& s : scores) EXPUNGE_CHECK(!std::isnan(s.first), "roc: a score is NaN");
  std::sort(scores.begin(), scores.end(), [](auto& a, auto& b) { return a.first > b.first; });

  Roc roc{.positives = std::ssize(positives), .negatives = std::ssize(negatives)};
  RocPoint point{std::numeric_limits<double>::infinity(), 0, 0};
  roc.points.push_back(point);
  for (size_t i = 0; i < scores.size(); ++i) {
    point.threshold = scores[i].first;
    ++(scores[i].second ? point.true_positives : point.false_positives);
    if (i + 1 == scores.size() || scores[i + 1].first != scores[i].first)
      roc.points.push_back(point);
  }
  return roc;
}

double Roc::auc() const {
  int64_t twice = 0;  // trapezoids, in whole numbers
  for (size_t i = 1; i < points.size(); ++i)
    twice += (points[i].false_positives - points[i - 1].false_positives) *
             (points[i].true_positives + points[i - 1].true_positives);
  return static_cast<double>(twice) / 2 / static_cast<double>(positives) /
         static_cast<double>(negatives);
}

double Roc::tpr_at(double fpr) const {
  double best = 0;
  for (const RocPoint& p : points)
    if (share(p.false_positives, negatives) <= fpr) best = share(p.true_positives, positives);
  return best;
}

double Roc::best_balanced_accuracy() const {
  double best = 0;
  for (const RocPoint& p : points)
    best = std::max(
        best, (share(p.true_positives, positives) + 1 - share(p.false_positives, negatives)) / 2);
  return best;
}

double Roc::accuracy_at(double threshold) const {
  RocPoint above = points.front(), from = points.front();
  for (const RocPoint& p : points) {
    if (p.threshold > threshold) above = p;
    if (p.threshold >= threshold) from = p;
  }
  const int64_t twice = above.true_positives + from.true_positives + 2 * negatives -
                        above.false_positives - from.false_positives;
  return share(twice, 2 * (positives + negatives));
}

ThresholdAttack threshold_attack(std::span<const double> forget, std::span<const double> test) {
  const Roc roc = roc_curve(forget, test);
  return {roc.auc(), roc.tpr_at(0.001), roc.tpr_at(0.01)};
}

}  // namespace expunge::eval
