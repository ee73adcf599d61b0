#pragma once

#include <vector>

#include "nn/fit.h"
#include "unlearn/pass.h"

// Step audit: whether the update that was really made, optimizer and momentum included, lowers the
// objectives on batches that it has not seen (ours, docs/unlearning.md).
namespace expunge::unlearn {

// One-sided t-test of "mean >= 0" on n numbers: t = mean / (s / sqrt n), nu = n - 1, p = P(T <= t).
// s = 0, or n = 1: t and p are NaN and only the sign of the mean says something.
struct TTest {
  int64_t n = 0;
  double mean = 0, t = 0, nu = 0, p = 0;
};
TTest one_sided_t_test(const std::vector<double>& values);

// delta = theta_{t+1} - theta_t, on batches k: a small p says that the step lowers the objective.
struct SideAudit {
  TTest gradient;  // c_k = <delta, gradient of L_k at theta_t>
  TTest loss;      // D_k = L_k(theta_{t+1}) - L_k(theta_t)
};

struct AuditConfig {
  int64_t batches = 5, every = 1;  // K of them, after every so many steps
  const Objective *forget, *retain;
  BatchNormMode batch_norm = BatchNormMode::train;  // of the step
  int64_t batches_per_epoch = 1;                    // of the source that the step runs on
  TeacherConfig teachers{};                         // as the step's
  ObjectiveNumbers numbers{};
};

// Runs a step and audits it. The batches come from the step's epoch, without replacement and other
// than the step's own. A forget source with fewer than three batches has nothing to audit with.
class AuditedStep final : public nn::Step {
 public:
  // The sources must not be those that the step draws from. Fewer than K + 1 retain batches:
  // ExitCode::usage.
  AuditedStep(nn::Step& step, const nn::Model& model, BatchSource& forget, BatchSource& retain,
              AuditConfig config);
  nn::StepResult run(const Batch& batch, const StepScalars& scalars) override;

  // Of the last step; null where it was not audited.
  struct Report {
    SideAudit forget, retain;
    double seconds = 0;  // that the audit took
  };
  const Report* report() const { return audited_ ? &report_ : nullptr; }

 private:
  SideAudit audit(BatchSource& source, const Objective& objective, int64_t batches,
                  const ParamStore& before, const StepScalars& scalars);

  nn::Step& step_;
  const nn::Model& model_;
  BatchSource &forget_, &retain_;
  const AuditConfig config_;
  const Teachers teachers_;
  Tensor grads_, delta_;  // flat
  Tape tape_;
  bool audited_ = false;
  Report report_;
};

}  // namespace expunge::unlearn
