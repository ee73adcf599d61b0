#include "eval/paired.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/student_t.h"

using namespace expunge;
using namespace expunge::eval;

TEST_CASE("student_t: closed forms of one and two degrees of freedom, and the way back") {
  for (const double t : {-40.0, -2.5, -0.3, 0.0, 0.7, 3.0}) {
    CHECK(student_cdf(t, 1) == doctest::Approx(0.5 + std::atan(t) / M_PI).epsilon(1e-10));
    CHECK(student_cdf(t, 2) ==
          doctest::Approx(0.5 + t / (2 * std::sqrt(2 + t * t))).epsilon(1e-10));
  }
  for (const double nu : {1.0, 2.0, 5.0, 30.0})
    for (const double p : {0.01, 0.3, 0.5, 0.9, 0.975})
      CHECK(student_cdf(student_quantile(p, nu), nu) == doctest::Approx(p).epsilon(1e-10));
  // tables of Student's distribution
  CHECK(student_quantile(0.975, 2) == doctest::Approx(4.30265).epsilon(1e-5));
  CHECK(student_quantile(0.975, 5) == doctest::Approx(2.57058).epsilon(1e-5));
}

TEST_CASE("paired: the sleep data of Student 1908") {
  const double a[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
  const double b[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
  const PairedDifference d = paired_difference(b, a);
  CHECK(d.pairs == 10);
  CHECK(d.mean == doctest::Approx(1.58).epsilon(1e-12));
  CHECK(d.sd == doctest::Approx(1.229995).epsilon(1e-6));
  CHECK(d.p == doctest::Approx(0.00283289).epsilon(1e-5));
  CHECK(d.low == doctest::Approx(0.7001142).epsilon(1e-6));
  CHECK(d.high == doctest::Approx(2.4598858).epsilon(1e-6));
}

TEST_CASE("paired: pairs that were not measured on both sides do not count") {
  const double nan = kNotMeasured;
  const double a[] = {1, nan, 3, 4}, b[] = {0, 1, nan, 2};
  const PairedDifference d = paired_difference(a, b);
  CHECK(d.pairs == 2);
  CHECK(d.mean == doctest::Approx(1.5));
  CHECK(paired_difference({}, {}).pairs == 0);
  CHECK(std::isnan(paired_difference({}, {}).mean));
}

TEST_CASE("paired: one pair has no interval, equal differences no p") {
  const double one[] = {2}, zero[] = {0};
  CHECK(paired_difference(one, zero).mean == 2);
  CHECK(std::isnan(paired_difference(one, zero).low));
  const double a[] = {2, 2}, b[] = {1, 1};
  CHECK(paired_difference(a, b).low == 1);
  CHECK(std::isnan(paired_difference(a, b).p));
}

TEST_CASE("paired: Holm's adjustment steps down and never decreases") {
  const double p[] = {0.01, 0.04, kNotMeasured, 0.03, 0.005};
  const std::vector<double> adjusted = holm(p);
  CHECK(adjusted[4] == doctest::Approx(0.02));  // 4 x 0.005
  CHECK(adjusted[0] == doctest::Approx(0.03));  // 3 x 0.01
  CHECK(adjusted[3] == doctest::Approx(0.06));  // 2 x 0.03
  CHECK(adjusted[1] == doctest::Approx(0.06));  // 0.04, but not below the one before
  CHECK(std::isnan(adjusted[2]));
  const double large[] = {0.9, 0.8};
  CHECK(holm(large)[0] == 1);
}
