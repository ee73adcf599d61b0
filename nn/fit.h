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
  bool skipped = false;  // gradients overflowed in fp16: nothing was changed (nn/loss_scale.h)
};

// One update of the model from one batch. Training is one of them; unlearning steps are others.
class Step {
 public:
  virtual ~Step() = default;
  virtual StepResult run(const Batch& batch, const StepScalars& scalars) = 0;

  // Whether it calls batch.make() (BatchSource::next_unmade).
  virtual bool makes_images() const { return false; }

  // Steps that a GPU takes while the host goes on: up to so many may be queued before the result of
  // the first is asked for; 0: there is run() alone. Results come in order. After a loss that is
  // not finite no step that was queued behind it changes a weight.
  virtual size_t most_ahead() const { return 0; }
  virtual void start() {}  // before a run's first step: forgets queued ones, and their losses
  virtual void queue(const Batch& batch, const StepScalars& scalars);
  virtual StepResult next_result();
};
inline constexpr size_t kMostAhead = 4;

// Puts a step's loss (1) where the results of queued steps are sent from: not finite from the first
// that is not (then `loss` is overwritten too), which an update that looks at it holds still after.
void note_loss(const Tensor& loss, const Tensor& noted);

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
  // Whether after_step of this step (from 1) looks at the model, or may say no: then it is called
  // before another step is begun. Otherwise the model may be some steps further by then (on a GPU,
  // which nobody waits for), and what it returns is not asked. Asked once, in order, when the step
  // is queued, or done where it is waited for.
  virtual bool looks_after(int64_t /*step*/) { return true; }
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
