#pragma once

#include <deque>

#include "core/late_numbers.h"
#include "nn/fit.h"
#include "nn/network.h"
#include "nn/optim.h"
#include "nn/step_recorder.h"

namespace expunge::nn {

struct SupervisedConfig {
  float label_smoothing = 0;
  // On a GPU:
  bool record = true;
  bool overlap = true;  // Tape::set_overlap
};

// The step of ordinary training: mean cross-entropy (or squared error where the batch has targets),
// one backward pass, one optimizer step. After a loss that is not finite the weights stay those of
// the last good step. In fp16 a step whose gradients overflow is skipped.
//
// On a GPU it is recorded (nn/step_recorder.h).
class SupervisedStep : public Step {
 public:
  SupervisedStep(Model& model, Optimizer& optimizer, SupervisedConfig config = {});
  StepResult run(const Batch& batch, const StepScalars& scalars) override;
  bool makes_images() const override { return true; }
  size_t most_ahead() const override;
  void start() override;
  void queue(const Batch& batch, const StepScalars& scalars) override;
  StepResult next_result() override;
  bool has_recorded() const { return recorder_.has_recorded(); }

 private:
  void prepare(const Batch& batch, const StepScalars& scalars);
  void differentiate(const Batch& batch, const StepScalars& scalars);
  bool may_be_recorded(const Batch& batch) const;

  Model& model_;
  Optimizer& optimizer_;
  SupervisedConfig config_;
  Tensor grads_;
  Tape tape_;
  Tensor labels_, scalars_;  // what changes from step to step, where the model is
  // (4) the loss (note_loss), whether gradients overflowed, how many were right, the gradient's
  // norm
  Tensor found_;
  LateNumbers late_;               // of them
  std::deque<StepResult> queued_;  // as far as they are known
  LossScale& scale_;
  StepRecorder recorder_;
};

}  // namespace expunge::nn
