#include "eval/distance.h"

#include <doctest/doctest.h>

#include <cmath>

#include "support/error.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

constexpr double kDouble = 1e-12;

Outputs shifted_positions(Outputs o) {
  std::swap(o.positions[0], o.positions[1]);
  return o;
}

}  // namespace

TEST_CASE("distance: every number is its definition's mean over the samples") {
  const Outputs a = random_outputs(60, 4, 1, 1), b = random_outputs(60, 4, 1, 2);
  double agreement = 0, kl = 0, js = 0, l2 = 0;
  for (int64_t n = 0; n < 60; ++n) {
    const auto p = a.p_of(n), q = b.p_of(n);
    double squares = 0;
    for (size_t i = 0; i < 4; ++i) {
      const double m = (p[i] + q[i]) / 2;
      kl += q[i] * std::log(q[i] / p[i]);
      js += (p[i] * std::log(p[i] / m) + q[i] * std::log(q[i] / m)) / 2;
      squares += (p[i] - q[i]) * (p[i] - q[i]);
    }
    l2 += std::sqrt(squares);
    agreement += a.predicted(n) == b.predicted(n);
  }
  const Distance d = distance(a, b);
  CHECK(d.agreement == doctest::Approx(agreement / 60).epsilon(kDouble));
  CHECK(d.kl == doctest::Approx(kl / 60).epsilon(kDouble));
  CHECK(d.js == doctest::Approx(js / 60).epsilon(kDouble));
  CHECK(d.l2 == doctest::Approx(l2 / 60).epsilon(kDouble));
}

TEST_CASE("distance: a model is at no distance from itself, opposite ones at the largest") {
  const Outputs a = random_outputs(20, 3, 1, 3);
  const Distance none = distance(a, a);
  CHECK(none.agreement == 1);
  CHECK(none.kl == 0);
  CHECK(none.js == 0);
  CHECK(none.l2 == 0);
  Outputs one{.classes = 2}, other{.classes = 2};
  one.add(std::vector<float>{1000, 0}, 0, 0);
  other.add(std::vector<float>{0, 1000}, 0, 0);
  const Distance far = distance(one, other);
  CHECK(far.agreement == 0);
  CHECK(far.kl == doctest::Approx(1000));
  CHECK(far.js == doctest::Approx(std::log(2.0)));
  CHECK(far.l2 == doctest::Approx(std::sqrt(2.0)));
}

TEST_CASE("distance: outputs of other samples are a fault of the caller; of none not measured") {
  const Outputs a = random_outputs(20, 3, 1, 4);
  CHECK(error_code([&] { distance(a, shifted_positions(a)); }) == ExitCode::internal);
  CHECK(error_code([&] { distance(a, random_outputs(19, 3, 1, 4)); }) == ExitCode::internal);
  CHECK(std::isnan(distance(Outputs{.classes = 3}, Outputs{.classes = 3}).kl));
}

TEST_CASE("spread: mean and standard deviation with n - 1") {
  const std::vector<double> values{1, 2, 6}, one{4}, none;
  CHECK(spread_of(values).mean == 3);
  CHECK(spread_of(values).sd == doctest::Approx(std::sqrt(7.0)));
  CHECK(spread_of(one).mean == 4);
  CHECK(std::isnan(spread_of(one).sd));
  CHECK(std::isnan(spread_of(none).mean));
}
