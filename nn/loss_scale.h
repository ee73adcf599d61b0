#pragma once

#include <span>
#include <vector>

#include "core/param_store.h"
#include "core/step_scalars.h"
#include "kernels/loss_scale.h"

namespace expunge::nn {

// The loss scale of a step in fp16 (kernels/loss_scale.h). In other precisions it is off: seed() is
// empty, and nothing is queued.
//
// A step takes seed() for its backward passes, calls finish() behind them, and gives what stands
// last in its losses to the optimizer's kernels and then, on the host, to skipped().
class LossScale {
 public:
  explicit LossScale(Stream stream);

  bool on() const { return static_cast<bool>(state_); }
  Tensor seed() const { return on() ? state_.slice(0, {1}) : Tensor(); }
  // Divides the gradients by S, and what was made of their squares by S^2, and adapts it. The last
  // of `losses` becomes infinite where a gradient overflowed, NaN where S can then go no lower,
  // otherwise 0; the others are losses.
  void finish(std::span<const Tensor> gradients, std::span<const Tensor> squares,
              const Tensor& losses) const;
  // Whether the step was not taken, by the last of its losses; asked once for each. Where S can go
  // no lower: ExitCode::numerical.
  bool skipped(float overflow);
  void lose_count();  // steps were dropped of which skipped() will not be told
  // The step as optimizers and statistics count: skipped ones are none; if so many more were
  // skipped than skipped() has been told.
  StepScalars taken(StepScalars scalars, int64_t more = 0);
  int64_t known_skipped();
  const kernels::LossScaleState* there() const;  // where the step works

  std::vector<NamedBuffer> state() const;  // to save and restore with a run

 private:
  kernels::LossScaleState fetch() const;

  Tensor state_;          // (3) LossScaleState, where the step works
  int64_t skipped_ = -1;  // of them, on the host; -1: not known, a run may have been resumed
};

}  // namespace expunge::nn
