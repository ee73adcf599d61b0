#pragma once

#include <cstdint>

#include "core/batch_source.h"
#include "core/step_scalars.h"
#include "nn/schedule.h"

namespace expunge::nn {

struct StepResult {
  double loss = 0;  // mean over the batch
  int64_t samples = 0;
  int64_t correct = 0;   // top-1, where the step knows labels
  double grad_norm = 0;  // before clipping, where it was computed
};

// One update of the model from one batch. Training is one of them; unlearning steps are others.
class Step {
 public:
  virtual ~Step() = default;
  virtual StepResult run(const Batch& batch, const StepScalars& scalars) = 0;
};

// Where a run stands: after `step` steps, of which `batch` in epoch `epoch`. All of it is needed to
// resume.
struct FitPosition {
  int epoch = 0;
  int64_t batch = 0;
  int64_t step = 0;
  double loss_sum = 0;  // of the epoch so far, for its mean
  int64_t samples = 0, correct = 0;
};

struct FitConfig {
  int epochs = 1;
  int64_t max_steps = 0;  // 0: no limit besides epochs
  double lr = 0.1;
  Schedule schedule;
  uint64_t seed = 0;
};

// Steps of a run from its beginning to its end.
int64_t total_steps(const FitConfig& config, const BatchSource& source);

enum class Continue : bool { no = false, yes = true };

// What a caller hangs into the loop: progress, metrics, evaluation, checkpoints, stop rules. `at`
// is the position after the step or epoch, from which fit() would go on.
class EpochHook {
 public:
  virtual ~EpochHook() = default;
  virtual Continue after_step(const FitPosition& at, const StepResult& result,
                              const StepScalars& scalars) = 0;
  virtual Continue after_epoch(
      const FitPosition& at) = 0;  // at.batch == batches(); loss_sum is the epoch's
};

enum class FitEnd : unsigned char { finished, stopped };

// THE training loop. From `position` to the end of config.epochs, to max_steps, or until a hook
// says no. A loss that is not finite throws ExitCode::numerical after the hook saw the step.
FitEnd fit(const FitConfig& config, BatchSource& source, Step& step, EpochHook& hook,
           FitPosition position = {});

}  // namespace expunge::nn
