#include "unlearn/audit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/student_t.h"
#include "kernels/elementwise.h"
#include "kernels/precision.h"
#include "kernels/reduce.h"

namespace expunge::unlearn {

TTest one_sided_t_test(const std::vector<double>& values) {
  TTest test{.n = std::ssize(values)};
  if (test.n == 0) return test;
  const auto n = static_cast<double>(test.n);
  for (double v : values) test.mean += v / n;
  double squares = 0;
  for (double v : values) squares += (v - test.mean) * (v - test.mean);
  test.nu = n - 1;
  test.t = test.p = std::numeric_limits<double>::quiet_NaN();
  if (squares == 0) return test;
  test.t = test.mean / std::sqrt(squares / (n - 1) / n);
  test.p = student_cdf(test.t, test.nu);
  return test;
}

AuditedStep::AuditedStep(nn::Step& step, const nn::Model& model, BatchSource& forget,
                         BatchSource& retain, AuditConfig config)
    : step_(step),
      model_(model),
      forget_(forget),
      retain_(retain),
      config_(std::move(config)),
      teachers_(model.params, {config_.forget->teacher, config_.retain->teacher}, config_.teachers),
      grads_(model.params.make_buffer()),
      delta_(model.params.make_buffer()) {
  if (retain.batches() <= config_.batches)
    fail(ExitCode::usage,
         "--audit {}: the retained samples make {} batches, expected one more than the audit's",
         config_.batches, retain.batches());
}

SideAudit AuditedStep::audit(BatchSource& source, const Objective& objective, int64_t batches,
                             const ParamStore& before, const StepScalars& scalars) {
  const kernels::WithoutLossScale exact;
  const int64_t n = source.batches();
  const Place own = place_of(scalars, config_.batches_per_epoch, n);
  const Pass pass{.network = *model_.network,
                  .values = before,
                  .objective = objective,
                  .batch_norm = config_.batch_norm == BatchNormMode::eval ? BatchNormMode::eval
                                                                          : BatchNormMode::frozen,
                  .teachers = &teachers_,
                  .numbers = config_.numbers};
  const Pass after{.network = pass.network,
                   .values = model_.params,
                   .objective = objective,
                   .batch_norm = pass.batch_norm,
                   .teachers = pass.teachers,
                   .numbers = pass.numbers};
  std::vector<double> change, difference;
  Batch batch;
  for (int64_t k = 0; k < batches; ++k) {
    const int64_t index = (own.batch + 1 + k) % n;
    if (k == 0 || index == 0) source.start(own.epoch, index);
    source.next(batch);
    tape_.reset();
    tape_.bind(before, {grads_, 0.0f});
    const double loss = loss_of(pass, batch, scalars, &tape_);
    change.push_back(kernels::dot(delta_.stream(), delta_.size(), delta_.data(), grads_.data()));
    difference.push_back(loss_of(after, batch, scalars) - loss);
  }
  return {one_sided_t_test(change), one_sided_t_test(difference)};
}

nn::StepResult AuditedStep::run(const Batch& batch, const StepScalars& scalars) {
  audited_ = (scalars.step + 1) % config_.every == 0;
  if (!audited_) return step_.run(batch, scalars);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const ParamStore before = model_.params.clone();
  const Clock::time_point step_begin = Clock::now();
  const nn::StepResult result = step_.run(batch, scalars);
  const Clock::time_point step_end = Clock::now();
  delta_.copy_from(model_.params.values());
  kernels::axpby(delta_.stream(), delta_.size(), -1.0f, before.values().data(), 1.0f,
                 delta_.data());
  const int64_t others = std::min(config_.batches, forget_.batches() - 1);
  report_ = {};
  report_.retain = audit(retain_, *config_.retain, config_.batches, before, scalars);
  if (others > 1) report_.forget = audit(forget_, *config_.forget, others, before, scalars);
  const std::chrono::duration<double> aside = (step_begin - begin) + (Clock::now() - step_end);
  report_.seconds = aside.count();
  return result;
}

}  // namespace expunge::unlearn
