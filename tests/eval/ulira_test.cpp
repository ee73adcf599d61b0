#include "eval/ulira.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "core/rng.h"
#include "core/student_t.h"
#include "eval/spread.h"
#include "support/error.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

double normal(uint32_t key, int64_t a, int64_t b) {
  const rng::Draw d = rng::philox(key, rng::Purpose::test,
                                  {{static_cast<uint32_t>(a), static_cast<uint32_t>(b), 0, 0}});
  return rng::normal_pair(d.word[0], d.word[1]).value[0];
}

// Each sample has a level of its own; the margins of those that forgot it are normal around that,
// the others' lie `shift` lower, all with standard deviation `sd`.
ShadowMargins drawn(int64_t shadows, int64_t samples, double shift, double sd, uint32_t key) {
  ShadowMargins m{.shadows = shadows, .samples = samples};
  for (int64_t k = 0; k < shadows; ++k)
    for (int64_t s = 0; s < samples; ++s) {
      const bool first = normal(key + 1, k / 2, s) > 0;
      m.forgotten.push_back(k % 2 == 0 ? first : !first);
      m.margins.push_back(3 * normal(key + 2, 0, s) + (m.forgotten.back() != 0 ? 0 : -shift) +
                          sd * normal(key, k, s));
    }
  return m;
}

// The same once more from the definitions, each (k, s) by itself.
double log_normal(double z, double mean, double variance) {
  return -(z - mean) * (z - mean) / (2 * variance) - std::log(2 * std::numbers::pi * variance) / 2;
}

std::vector<double> others(const ShadowMargins& m, int64_t k, int64_t s, bool forgotten) {
  std::vector<double> values;
  for (int64_t i = 0; i < m.shadows; ++i) {
    const auto at = static_cast<size_t>(i * m.samples + s);
    if (i != k && i != (k ^ 1) && (m.forgotten[at] == 1) == forgotten)
      values.push_back(m.margins[at]);
  }
  return values;
}

double variance_of(const ShadowMargins& m, int64_t k, int64_t s, bool forgotten, bool own) {
  if (own) return std::pow(spread_of(others(m, k, s, forgotten)).sd, 2);
  double sum = 0;  // each sample has as many degrees of freedom, so pooling is a mean
  for (int64_t t = 0; t < m.samples; ++t)
    sum += std::pow(spread_of(others(m, k, t, forgotten)).sd, 2);
  return sum / static_cast<double>(m.samples);
}

double score_of(const ShadowMargins& m, double z, int64_t k, int64_t s, bool own) {
  double score = 0;
  for (const bool forgotten : {true, false})
    score += (forgotten ? 1 : -1) * log_normal(z, spread_of(others(m, k, s, forgotten)).mean,
                                               variance_of(m, k, s, forgotten, own));
  return score;
}

std::vector<double> scores_of(const ShadowMargins& m, bool own) {
  std::vector<double> scores;
  for (int64_t k = 0; k < m.shadows; ++k)
    for (int64_t s = 0; s < m.samples; ++s)
      scores.push_back(score_of(m, m.margins[scores.size()], k, s, own));
  return scores;
}

ShadowMargins without(const ShadowMargins& m, int64_t pair) {
  ShadowMargins rest = m;
  const int64_t begin = 2 * pair * m.samples, end = begin + 2 * m.samples;
  rest.shadows -= 2;
  rest.margins.erase(rest.margins.begin() + begin, rest.margins.begin() + end);
  rest.forgotten.erase(rest.forgotten.begin() + begin, rest.forgotten.begin() + end);
  return rest;
}

struct ByPairs {
  double auc, tpr, accuracy;
};
ByPairs by_pairs(const ShadowMargins& m, const std::vector<double>& scores) {
  double wins = 0, right = 0, tpr = 0;
  const auto half = static_cast<double>(scores.size()) / 2;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double side = m.forgotten[i] == 1 ? scores[i] : -scores[i];
    right += side > 0 ? 1 : side == 0 ? 0.5 : 0;
    double alarms = 0, found = 0;
    for (size_t j = 0; j < scores.size(); ++j) {
      if (m.forgotten[i] == 1 && m.forgotten[j] == 0)
        wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      (m.forgotten[j] == 1 ? found : alarms) += scores[j] >= scores[i];
    }
    if (alarms / half <= 0.01) tpr = std::max(tpr, found / half);
  }
  return {wins / half / half, tpr, right / half / 2};
}

void check_interval(const Interval& found, double value, const std::vector<double>& values) {
  const auto pairs = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / pairs;
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double half = student_quantile(0.975, pairs - 1) * std::sqrt((pairs - 1) / pairs * squares);
  CHECK(found.value == doctest::Approx(value).epsilon(1e-12));
  CHECK(found.low == doctest::Approx(std::max(0.0, value - half)).epsilon(1e-9));
  CHECK(found.high == doctest::Approx(std::min(1.0, value + half)).epsilon(1e-9));
}

}  // namespace

TEST_CASE("ulira: scores, numbers and intervals are those of the definitions") {
  for (const auto& [shadows, samples] : {std::pair{8, 1}, {8, 9}, {12, 20}, {62, 2}, {64, 3}}) {
    CAPTURE(shadows);
    const bool own = shadows >= 64;
    const ShadowMargins m = drawn(shadows, samples, 1, 1.5, 7);
    const std::vector<double> scores = ulira_scores(m), expected = scores_of(m, own);
    for (size_t i = 0; i < scores.size(); ++i)
      CHECK(scores[i] == doctest::Approx(expected[i]).epsilon(1e-10));
    std::vector<double> auc, tpr, accuracy;
    for (int64_t pair = 0; pair < shadows / 2; ++pair) {
      const ShadowMargins rest = without(m, pair);
      const ByPairs numbers = by_pairs(rest, scores_of(rest, own));
      auc.push_back(numbers.auc), tpr.push_back(numbers.tpr);
      accuracy.push_back(numbers.accuracy);
    }
    const ByPairs all = by_pairs(m, expected);
    const Ulira found = ulira(m);
    check_interval(found.auc, all.auc, auc);
    check_interval(found.tpr_at_1_percent, all.tpr, tpr);
    check_interval(found.accuracy, all.accuracy, accuracy);
  }
}

TEST_CASE("ulira: the variance is pooled below 64 shadows, each sample's own from there on") {
  for (const int64_t shadows : {62, 64}) {
    ShadowMargins m = drawn(shadows, 2, 1, 1, 3);
    const std::vector<double> before = ulira_scores(m);
    for (int64_t k = 0; k < shadows; ++k) m.margins[static_cast<size_t>(2 * k + 1)] *= 20;
    const std::vector<double> after = ulira_scores(m);
    for (int64_t k = 0; k < shadows; ++k)  // the other sample's
      CHECK((before[static_cast<size_t>(2 * k)] == after[static_cast<size_t>(2 * k)]) ==
            (shadows == 64));
  }
}

TEST_CASE("ulira: a shift d between margins of variance 1 has AUC Phi(d / sqrt 2)") {
  for (const double d : {0.5, 1.0, 2.0}) {
    CAPTURE(d);
    const double auc = std::erfc(-d / 2) / 2,
                 accuracy = std::erfc(-d / std::numbers::sqrt2 / 2) / 2;
    // Two standard deviations of a share of N S scores; and the attacker knows means to
    // 1 / sqrt(N/2 - 1) only, which costs the less the larger N and d.
    struct Band {
      int64_t shadows;
      double chance, cost;
    };
    for (const Band& band : {Band{32, 0.012, 0.02 / d}, {200, 0.006, 0.005 / d}}) {
      CAPTURE(band.shadows);
      const Ulira found = ulira(drawn(band.shadows, 200, d, 1, 11));
      CHECK(found.auc.value < auc + band.chance);
      CHECK(found.auc.value > auc - band.chance - band.cost);
      CHECK(found.accuracy.value < accuracy + band.chance);
      CHECK(found.accuracy.value > accuracy - band.chance - band.cost);
      CHECK(found.auc.low > 0.5);
      CHECK(found.auc.high > found.auc.value);
      CHECK(found.auc.high - found.auc.low < 0.05);
    }
  }
}

// With so few shadows, fits that saw the margin they judge would be far above 1/2, and fits that
// lack one more margin of its class far below.
TEST_CASE("ulira: without a difference the AUC is 1/2, and the intervals say so") {
  for (const int64_t shadows : {8, 16, 32, 64}) {
    CAPTURE(shadows);
    constexpr int kRounds = 40;
    int covered = 0;
    double mean = 0;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const Ulira found = ulira(drawn(shadows, 100, 0, 2, 1000 + 10 * round));
      covered += found.auc.low <= 0.5 && found.auc.high >= 0.5;
      mean += found.auc.value / kRounds;
    }
    CAPTURE(mean);
    CHECK(std::abs(mean - 0.5) < 0.01);
    CHECK(covered >= kRounds * 95 / 100);
  }
}

TEST_CASE("ulira: neither a held-out margin nor its partner's enters the fits that judge it") {
  const ShadowMargins m = drawn(8, 6, 1, 1, 5);
  const std::vector<double> before = ulira_scores(m);
  for (const int64_t k : {2, 3}) {
    ShadowMargins other = m;
    for (int64_t s = 0; s < 6; ++s) other.margins[static_cast<size_t>(k * 6 + s)] += 100;
    const std::vector<double> after = ulira_scores(other);
    for (int64_t s = 0; s < 6; ++s) {
      const auto own = static_cast<size_t>(k * 6 + s),
                 partner = static_cast<size_t>((k ^ 1) * 6 + s);
      CHECK(after[partner] == doctest::Approx(before[partner]).epsilon(1e-10));
      CHECK(after[own] ==
            doctest::Approx(score_of(m, other.margins[own], k, s, false)).epsilon(1e-10));
    }
  }
}

TEST_CASE("ulira: equal margins are no evidence, classes without variance are told apart") {
  for (const int64_t shadows : {8, 64}) {
    ShadowMargins m = drawn(shadows, 5, 0, 0, 1);
    const Ulira equal = ulira(m);
    for (const Interval& i : {equal.auc, equal.accuracy}) {
      CHECK(i.value == 0.5);
      CHECK(i.low == 0.5);
      CHECK(i.high == 0.5);
    }
    CHECK(equal.tpr_at_1_percent.value == 0);
    m = drawn(shadows, 5, 2, 0, 1);
    for (const double score : ulira_scores(m)) CHECK(std::isfinite(score));
    CHECK(ulira(m).auc.low == 1);
    CHECK(ulira(m).tpr_at_1_percent.low == 1);
  }
}

TEST_CASE("ulira: the same for any number of threads") {
  const ShadowMargins m = drawn(12, 50, 0.5, 1, 9);
  const int threads = thread_count();
  set_thread_count(1);
  const Ulira one = ulira(m);
  set_thread_count(3);
  const Ulira three = ulira(m);
  set_thread_count(threads);
  CHECK(one.auc.low == three.auc.low);
  CHECK(one.auc.high == three.auc.high);
  CHECK(one.tpr_at_1_percent.high == three.tpr_at_1_percent.high);
}

TEST_CASE("ulira: shadows that do not fit together are refused") {
  const ShadowMargins good = drawn(8, 3, 0, 1, 1);
  ShadowMargins m = good;
  m.forgotten[0] = 1 - m.forgotten[0];
  CHECK(contains(error_text([&] { ulira(m); }), "opposite"));
  m = good;
  m.margins.pop_back();
  CHECK(error_code([&] { ulira(m); }) == ExitCode::internal);
  CHECK(error_code([&] { ulira(drawn(6, 3, 0, 1, 1)); }) == ExitCode::internal);
}
