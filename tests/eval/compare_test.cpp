#include "eval/compare.h"

#include <doctest/doctest.h>

#include <cmath>

#include "support/error.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

constexpr size_t kConfidence = 1;  // of kFeatures

// Scores that matter here; outputs on F at `strength`.
Measured measured(double forget, double retain, double test, double svc, double strength,
                  uint32_t key) {
  Measured m{.scores = {}, .forget = random_outputs(50, 4, strength, key)};
  m.scores.forget = {50, forget, 0.5};
  m.scores.retain = {100, retain, 0.1};
  m.scores.test = {100, test, 0.4};
  m.scores.unseen = 100;
  m.scores.svc[kConfidence] = {svc, 0.7};
  for (ThresholdAttack& t : m.scores.threshold) t = {0.5, 0.001, 0.01};
  return m;
}

const Gap& gap(const Comparison& c, const char* name) {
  return c.gaps.at(static_cast<size_t>(&metric(name) - metrics().data()));
}

std::vector<std::string> warned(double auc, std::vector<double> reference_aucs) {
  Measured m = measured(0.9, 1, 0.9, 0.8, 2, 1);
  m.scores.threshold[1].auc = auc;
  std::vector<Measured> references;
  for (const double r : reference_aucs) {
    references.push_back(measured(0.9, 1, 0.9, 0.8, 2, 2));
    references.back().scores.threshold[1].auc = r;
  }
  return warnings(m.scores, references);
}

}  // namespace

TEST_CASE("compare: gaps to the references' mean, also in units of their spread") {
  const Measured model = measured(0.97, 0.99, 0.90, 0.60, 2, 1);
  const std::vector<Measured> references = {measured(0.94, 1.00, 0.94, 0.85, 2, 2),
                                            measured(0.95, 1.00, 0.95, 0.87, 2, 3),
                                            measured(0.96, 1.00, 0.93, 0.89, 2, 4)};
  const Comparison c = compare(model, references);
  CHECK(c.references == 3);
  CHECK(c.rUA == doctest::Approx(0.02));
  CHECK(gap(c, "UA").gap == doctest::Approx(-0.02));
  CHECK(gap(c, "svc_confidence").reference.mean == doctest::Approx(0.87));
  CHECK(gap(c, "svc_confidence").reference.sd == doctest::Approx(0.02));
  CHECK(gap(c, "svc_confidence").spreads == doctest::Approx(-13.5));
  CHECK(std::isnan(gap(c, "retain_acc").spreads));  // the references do not differ
  CHECK(std::isnan(gap(c, "svc_entropy").gap));
  // percent: 2 of UA, 1 of retain, 4 of test, 27 of the attack
  CHECK(c.average_gap == doctest::Approx((2 + 1 + 4 + 27) / 4.0));
  // pairs: (1 + 0 + 1 + 2), (2 + 0 + 1 + 4), (1 + 0 + 2 + 2)
  CHECK(c.average_gap_among == doctest::Approx((4 + 7 + 5) / 3.0 / 4));
}

TEST_CASE("compare: distances on F to each reference, and among the references") {
  const Measured model = measured(0.9, 1, 0.9, 0.8, 1, 1);
  const std::vector<Measured> references = {measured(0.9, 1, 0.9, 0.8, 3, 2),
                                            measured(0.9, 1, 0.9, 0.8, 3, 3)};
  const Comparison c = compare(model, references);
  const auto d = [](const Measured& a, const Measured& b) { return distance(a.forget, b.forget); };
  CHECK(c.forget.kl ==
        doctest::Approx((d(model, references[0]).kl + d(model, references[1]).kl) / 2));
  CHECK(
      c.forget.agreement ==
      doctest::Approx((d(model, references[0]).agreement + d(model, references[1]).agreement) / 2));
  CHECK(c.among.kl ==
        doctest::Approx((d(references[0], references[1]).kl + d(references[1], references[0]).kl) /
                        2));
  CHECK(c.among.js == doctest::Approx(d(references[0], references[1]).js));

  const Comparison alone = compare(model, std::span(references).subspan(0, 1));
  CHECK(std::isnan(alone.among.kl));
  CHECK(std::isnan(alone.average_gap_among));
  CHECK(std::isnan(gap(alone, "UA").spreads));
  CHECK(gap(alone, "UA").gap == doctest::Approx(0));
  CHECK(error_code([&] { compare(model, {}); }) == ExitCode::internal);
}

TEST_CASE(
    "compare: an AUC far below one half is called over-unlearning, unless retraining does so") {
  CHECK(warned(0.50, {}).empty());
  CHECK(warned(0.46, {}).empty());
  CHECK(warned(0.46, {0.6, 0.6}).empty());
  REQUIRE(warned(0.31, {}).size() == 1);
  CHECK(contains(warned(0.31, {})[0], "over-unlearning"));
  CHECK(contains(warned(0.31, {})[0], "AUC 0.31, 0.50 where both are alike"));
  REQUIRE(warned(0.31, {0.48, 0.50}).size() == 1);
  CHECK(contains(warned(0.31, {0.48, 0.50})[0], "AUC 0.31, 0.49 after retraining"));
  CHECK(warned(0.40, {0.42, 0.41}).empty());
}

TEST_CASE("compare: blind attacks, absent classes and a single reference are said") {
  Measured m = measured(0.9, 1, 0.9, 0.8, 2, 1);
  m.scores.svc[kConfidence].training_accuracy = 0.52;
  REQUIRE(warnings(m.scores, {}).size() == 1);
  CHECK(contains(warnings(m.scores, {})[0], "52% of the cases"));
  m = measured(0.9, 1, 0.9, 0.8, 2, 1);
  m.scores.unseen = 0;
  m.scores.threshold = {};
  REQUIRE(warnings(m.scores, {}).size() == 1);
  CHECK(contains(warnings(m.scores, {})[0], "no test sample is of a forgotten class"));
  REQUIRE(warned(0.5, {0.5}).size() == 1);
  CHECK(contains(warned(0.5, {0.5})[0], "one retrained model"));
}
