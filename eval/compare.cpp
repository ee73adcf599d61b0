#include "eval/compare.h"

#include <fmt/core.h>

#include <cmath>

namespace expunge::eval {
namespace {

constexpr double kLowAuc = 0.45;       // further below one half than a finite F explains
constexpr double kClearly = 0.05;      // AUC below the retrained models'
constexpr double kBlindAttack = 0.55;  // accuracy of an SVC that sees next to nothing

Spread reference_spread(const Metric& m, std::span<const Measured> references) {
  std::vector<double> values;
  for (const Measured& r : references) values.push_back(m.get(r.scores));
  return spread_of(values);
}

Gap gap_of(const Metric& m, const Scores& scores, std::span<const Measured> references) {
  const Spread reference = reference_spread(m, references);
  const double value = m.get(scores), gap = value - reference.mean;
  return {&m, value, reference, gap, reference.sd > 0 ? gap / reference.sd : kNotMeasured};
}

double average_gap(const Scores& scores, std::span<const Measured> references) {
  double sum = 0;
  const auto names = {"UA", "retain_acc", "test_acc", "svc_confidence"};
  for (const char* name : names)
    sum += 100 * std::abs(gap_of(metric(name), scores, references).gap);
  return sum / static_cast<double>(names.size());
}

// The lowest AUC; where none was measured, kNotMeasured.
struct LowestAuc {
  double auc = kNotMeasured, reference = kNotMeasured;
};
LowestAuc lowest_auc(const Scores& scores, std::span<const Measured> references) {
  LowestAuc lowest;
  for (const char* name : {"confidence_auc", "entropy_auc", "modified_entropy_auc"}) {
    const double auc = metric(name).get(scores);
    if (std::isnan(lowest.auc) || auc < lowest.auc)
      lowest = {auc, reference_spread(metric(name), references).mean};
  }
  return lowest;
}

std::string over_unlearning(const LowestAuc& lowest) {
  const std::string beside = std::isnan(lowest.reference)
                                 ? "0.50 where both are alike"
                                 : fmt::format("{:.2f} after retraining", lowest.reference);
  return fmt::format(
      "over-unlearning: the forget samples stand out, for the model is worse on them than on test "
      "samples it never saw (AUC {:.2f}, {})",
      lowest.auc, beside);
}

}  // namespace

Comparison compare(const Measured& model, std::span<const Measured> references) {
  EXPUNGE_CHECK(!references.empty(), "compare: no reference");
  Comparison c{.references = std::ssize(references)};
  for (const Metric& m : metrics()) c.gaps.push_back(gap_of(m, model.scores, references));
  c.rUA = gap_of(metric("forget_acc"), model.scores, references).gap;
  c.average_gap = average_gap(model.scores, references);
  std::vector<Distance> to, among;
  std::vector<double> gaps_among;
  for (size_t i = 0; i < references.size(); ++i) {
    to.push_back(distance(model.forget, references[i].forget));
    for (size_t j = 0; j < references.size(); ++j) {
      if (i == j) continue;
      among.push_back(distance(references[i].forget, references[j].forget));
      gaps_among.push_back(average_gap(references[i].scores, references.subspan(j, 1)));
    }
  }
  c.forget = mean_of(to);
  c.among = mean_of(among);
  c.average_gap_among = spread_of(gaps_among).mean;
  return c;
}

std::vector<std::string> warnings(const Scores& scores, std::span<const Measured> references) {
  std::vector<std::string> out;
  const LowestAuc lowest = lowest_auc(scores, references);
  if (lowest.auc < kLowAuc && !(lowest.auc > lowest.reference - kClearly))
    out.push_back(over_unlearning(lowest));
  if (scores.forget.samples > 0 && scores.test.samples > 0 && scores.unseen == 0)
    out.push_back(
        "no test sample is of a forgotten class: the loss and threshold attacks had nothing to "
        "compare the forget samples with");
  const double seen = metric("svc_confidence_training").get(scores);
  if (seen < kBlindAttack)
    out.push_back(fmt::format(
        "the SVC on the confidence tells its own training samples apart in {:.0f}% of the cases: "
        "this model gives it next to nothing to see, so its answer on the forget samples says "
        "little",
        100 * seen));
  if (references.size() == 1)
    out.push_back(
        "there is one retrained model: whether a gap is more than chance needs at least two, of "
        "different seeds");
  return out;
}

}  // namespace expunge::eval
