#include "eval/svc_attack.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/parallel.h"
#include "support/error.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

TEST_CASE("svc: two clusters are told apart, and the forgotten are called by where they lie") {
  const Features members{1, {0.9, 0.95, 1.0, 0.93}}, others{1, {0.1, 0.2, 0.15, 0.05}},
      forget{1, {0.92, 0.97, 0.12}};
  const SvcAttack attack = svc_attack(members, others, forget);
  CHECK(attack.member_share == doctest::Approx(2.0 / 3));
  CHECK(attack.training_accuracy == 1);
}

TEST_CASE("svc: the decision is that of the dual problem of two points") {
  // x = +-1/2, gamma 1: both multipliers are a = min(C, 1 / (1 - k)), k = exp(-1), the offset is 0.
  const SvcClassifier svc(Features{1, {0.5}}, Features{1, {-0.5}});
  const double a = 1 / (1 - std::exp(-1.0)), x = 0.3;
  const double expected = a * (std::exp(-0.04) - std::exp(-0.64));
  // libsvm stops where the two conditions differ by 1e-3
  CHECK(svc.decisions(Features{1, {x}})[0] == doctest::Approx(expected).epsilon(2e-3));
}

TEST_CASE("svc: only the first |T| retained samples are members") {
  const Features retain{1, {0.9, 0.95, 0.1, 0.1, 0.1, 0.1}}, test{1, {0.1, 0.12}};
  CHECK(svc_attack(retain, test, Features{1, {0.1, 0.92}}).member_share == 0.5);
}

TEST_CASE("svc: the same calls for any number of threads") {
  const Features retain = features(random_outputs(200, 5, 6, 1), Feature::probabilities),
                 test = features(random_outputs(200, 5, 4, 2), Feature::probabilities);
  const SvcClassifier svc(retain, test);
  set_thread_count(1);
  const std::vector<double> one = svc.decisions(test);
  set_thread_count(0);
  CHECK(svc.decisions(test) == one);
}

TEST_CASE("svc: empty sides are a fault of the caller") {
  const Features some{1, {0.5}}, none{1, {}};
  CHECK(error_code([&] { SvcClassifier(some, none); }) == ExitCode::internal);
  CHECK(error_code([&] { svc_attack(some, some, none); }) == ExitCode::internal);
}
