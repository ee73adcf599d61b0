#include "unlearn/audit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "support/error.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"
#include "unlearn/step.h"

namespace expunge::unlearn {
namespace {

using test::Images, test::kClasses, test::tiny;

constexpr int64_t kForgetBatches = 4, kRetainBatches = 8, kAudit = 5;

StepConfig ngplus() {
  StepConfig config;
  config.forget = &objective("ascent");
  config.retain = &objective("ce");
  config.batches_per_epoch = kForgetBatches;
  return config;
}

struct Run {
  nn::Model model = tiny();
  nn::Optimizer optimizer{model.params, {.kind = nn::OptimKind::sgd, .momentum = 0}};
  Images forget{1000, kForgetBatches}, retain{5000, kRetainBatches};
  Images forget_again{1000, kForgetBatches}, retain_again{5000, kRetainBatches};
  UnlearnStep step{model, optimizer, retain, ngplus()};
  AuditedStep audited{step, model, forget_again, retain_again,
                      AuditConfig{.batches = kAudit,
                                  .every = 2,
                                  .forget = &objective("ascent"),
                                  .retain = &objective("ce"),
                                  .batches_per_epoch = kForgetBatches}};
  nn::StepResult go(nn::Step& which, int64_t at, float lr) {
    const auto epoch = static_cast<int32_t>(at / kForgetBatches);
    return which.run(forget.at(epoch, at % kForgetBatches),
                     {.seed = 9, .step = at, .epoch = epoch, .lr = lr});
  }
};

double loss_at(const nn::Model& model, const ParamStore& values, const Batch& batch) {
  return loss_of({*model.network, values, objective("ce")}, batch, {});
}

}  // namespace

TEST_CASE("t test: against tabulated quantiles, and the sign alone where nothing varies") {
  // t = mean / (s / sqrt n) of {-3, -1}: mean -2, s = sqrt 2: t = -2, nu = 1: p = 0.5 - atan(2)/pi
  const TTest two = one_sided_t_test({-3, -1});
  CHECK(two.t == doctest::Approx(-2));
  CHECK(two.p == doctest::Approx(0.5 - std::atan(2.0) / std::numbers::pi));
  // nu = 4: t_{0.975} = 2.776445 (the usual table): values with mean 2.776445 and s = sqrt 5
  const double s = std::sqrt(5.0), a = s * std::sqrt(2.0), m = 2.776445;
  const TTest five = one_sided_t_test({m - a, m + a, m, m, m});
  CHECK(five.nu == 4);
  CHECK(five.p == doctest::Approx(0.975).epsilon(1e-6));
  const TTest same = one_sided_t_test({-1, -1, -1});
  CHECK(same.mean == -1);
  CHECK(std::isnan(same.t));
  CHECK(std::isnan(same.p));
  CHECK(std::isnan(one_sided_t_test({-1}).p));
  CHECK(one_sided_t_test({}).n == 0);
}

TEST_CASE("step audit: losses before and after on other batches than the step's") {
  Run run;
  CHECK(std::isfinite(run.go(run.audited, 0, 0.05f).loss));
  CHECK(run.audited.report() == nullptr);  // every second step
  const ParamStore before = run.model.params.clone();
  run.go(run.audited, 1, 0.05f);
  const auto* report = run.audited.report();
  REQUIRE(report != nullptr);
  std::vector<double> difference;
  for (int64_t k = 0; k < kAudit; ++k) {  // the step took batch 1 of epoch 0
    const Batch batch = run.retain.at(0, 2 + k);
    difference.push_back(loss_at(run.model, run.model.params, batch) -
                         loss_at(run.model, before, batch));
  }
  const TTest expected = one_sided_t_test(difference);
  CHECK(report->retain.loss.n == kAudit);
  CHECK(report->retain.loss.mean == expected.mean);
  CHECK(report->retain.loss.p == expected.p);
  CHECK(report->forget.loss.n == kForgetBatches - 1);  // all but the step's own
}

TEST_CASE("step audit: fewer retain than forget batches: still none of the step's own") {
  constexpr int64_t kLong = 12, kStep = 9;  // the tenth step takes retain batch 1 of a second round
  constexpr int kSecondRound = 1 << 20;
  nn::Model model = tiny();
  nn::Optimizer optimizer(model.params, {.kind = nn::OptimKind::sgd, .momentum = 0});
  Images forget{1000, kLong}, retain{5000, kRetainBatches};
  Images forget_again{1000, kLong}, retain_again{5000, kRetainBatches};
  StepConfig config = ngplus();
  config.batches_per_epoch = kLong;
  UnlearnStep step(model, optimizer, retain, config);
  AuditedStep audited(step, model, forget_again, retain_again,
                      {.batches = kAudit,
                       .forget = config.forget,
                       .retain = config.retain,
                       .batches_per_epoch = kLong});
  const ParamStore before = model.params.clone();
  const nn::StepResult result =
      audited.run(forget.at(0, kStep), {.seed = 9, .step = kStep, .lr = 0.05f});
  CHECK(result.loss == loss_at(model, before, retain.at(kSecondRound, 1)));
  std::vector<double> difference;
  for (int64_t k = 0; k < kAudit; ++k) {
    const Batch batch = retain.at(kSecondRound, 2 + k);
    difference.push_back(loss_at(model, model.params, batch) - loss_at(model, before, batch));
  }
  CHECK(audited.report()->retain.loss.mean == one_sided_t_test(difference).mean);
}

TEST_CASE("step audit: <delta, g> is the loss's change to first order") {
  Run run;
  run.go(run.audited, 1, 1e-4f);
  for (const SideAudit& side : {run.audited.report()->retain, run.audited.report()->forget}) {
    CHECK(side.gradient.mean != 0);
    // curvature is of the order of the step; the loss is a float
    CHECK(side.gradient.mean == doctest::Approx(side.loss.mean).epsilon(0.02));
  }
}

TEST_CASE("step audit: the step's bits are those without it") {
  Run with, without;
  for (int64_t t = 0; t < 4; ++t)
    with.go(with.audited, t, 0.05f), without.go(without.step, t, 0.05f);
  CHECK(
      std::ranges::equal(with.model.params.values().span(), without.model.params.values().span()));
  CHECK(std::ranges::equal(with.model.params.statistic_values().span(),
                           without.model.params.statistic_values().span()));
}

TEST_CASE("step audit: too few retain batches are refused") {
  Run run;
  Images few{5000, kAudit};
  const auto audit = [&] {
    AuditedStep(run.step, run.model, run.forget_again, few,
                {.batches = kAudit, .forget = &objective("ascent"), .retain = &objective("ce")});
  };
  CHECK(test::error_code(audit) == ExitCode::usage);
}

}  // namespace expunge::unlearn
