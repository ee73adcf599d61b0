#include "eval/loss_attack.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/rng.h"
#include "support/error.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

// Losses of an exponential law.
std::vector<double> losses(int64_t n, double mean, uint32_t key) {
  std::vector<double> out;
  for (int64_t i = 0; i < n; ++i) {
    const rng::Draw d = rng::philox(key, rng::Purpose::test, {{static_cast<uint32_t>(i), 0, 0, 0}});
    out.push_back(-mean * std::log(double{rng::uniform(d.word[0])} + 0x1p-25));
  }
  return out;
}

}  // namespace

TEST_CASE("logistic: the gradient of the objective is zero at the fit") {
  const auto members = losses(300, 0.2, 1), others = losses(200, 0.7, 2);
  const Logistic fit = fit_logistic(members, others);
  const auto p = [&](double x) { return 1 / (1 + std::exp(-fit.slope * x - fit.intercept)); };
  double d_slope = fit.slope, d_intercept = 0;
  for (const double x : members) d_slope += (p(x) - 1) * x, d_intercept += p(x) - 1;
  for (const double x : others) d_slope += p(x) * x, d_intercept += p(x);
  CHECK(fit.slope < -1);
  CHECK(std::abs(d_slope) < 1e-9);  // rounding of sums of 500 terms
  CHECK(std::abs(d_intercept) < 1e-9);
}

TEST_CASE("logistic: separable, equal and huge numbers have finite fits") {
  // Two points at +-1: slope s solves s = 2 / (1 + exp(s)).
  const Logistic two = fit_logistic(std::vector<double>{-1}, std::vector<double>{1});
  CHECK(two.slope == doctest::Approx(-2 / (1 + std::exp(-two.slope))).epsilon(1e-9));
  CHECK(two.intercept == doctest::Approx(0));
  const std::vector<double> same(30, 7.5), fewer(10, 7.5);
  const Logistic level = fit_logistic(same, fewer);
  CHECK(level.slope == doctest::Approx(0));
  CHECK(level.intercept == doctest::Approx(std::log(3.0)));
  const Logistic far =
      fit_logistic(std::vector<double>{0, 1e-3, 2e-3, 1e6}, std::vector<double>{1e6, 2e6, 3e6, 0});
  CHECK(std::isfinite(far.slope));
  CHECK(far.slope < 0);
}

TEST_CASE("loss attack: planted losses are told apart as well as the best threshold does") {
  // Exponential laws of means 0.1 and 1 cross at log(10) / 9 = 0.256: 1 - exp(-2.56) of members and
  // exp(-0.256) of non-members lie on their sides, 0.848 in the middle. The fit's threshold is not
  // the best one but near; 2 x 2000 tested samples have a standard error of 0.006.
  const auto members = losses(2000, 0.1, 3), others = losses(2000, 1.0, 4);
  const LossAttack attack = loss_attack(members, others, {});
  CHECK(attack.accuracy > 0.80);
  CHECK(attack.accuracy < 0.87);
  CHECK(attack.sd > 0);
  CHECK(attack.sd < 0.04);
}

TEST_CASE("loss attack: equal laws give one half, whatever the sizes") {
  const LossAttack attack = loss_attack(losses(2000, 0.3, 5), losses(5000, 0.3, 6), {});
  CHECK(std::abs(attack.accuracy - 0.5) < 0.04);  // three standard errors of 4000 tested samples
}

TEST_CASE("loss attack: the seed decides, and it alone") {
  const auto members = losses(300, 0.2, 7), others = losses(500, 0.4, 8);
  const LossAttack a = loss_attack(members, others, {.seed = 1}),
                   b = loss_attack(members, others, {.seed = 1}),
                   c = loss_attack(members, others, {.seed = 2});
  CHECK(a.accuracy == b.accuracy);
  CHECK(a.sd == b.sd);
  CHECK(a.accuracy != c.accuracy);
}

TEST_CASE("loss attack: one sample a side is a fault of the caller") {
  const std::vector<double> one{0.5}, two{0.5, 0.7};
  CHECK(error_code([&] { loss_attack(one, two, {}); }) == ExitCode::internal);
  CHECK(loss_attack(two, two, {}).accuracy >= 0);
}
