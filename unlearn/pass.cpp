#include "unlearn/pass.h"

#include <cmath>

namespace expunge::unlearn {

double loss_of(const Pass& pass, const Batch& batch, const StepScalars& scalars, Tape* tape,
               Tape::Ready ready) {
  const Ctx ctx{.stream = pass.values.values().stream(),
                .params = &pass.values,
                .tape = tape,
                .mode = pass.mode,
                .batch_norm = pass.batch_norm,
                .scalars = &scalars};
  Tensor teacher;
  if (pass.objective.teacher != Teacher::none)
    teacher = pass.teachers->logits(pass.objective.teacher, pass.network, batch);
  Var loss;
  {
    const Var logits = pass.network.forward(ctx, {batch.x, Var::kNone});
    loss = pass.objective.loss({ctx, logits, batch, teacher, pass.numbers});
  }
  const double value = double{value_of(loss.value)};
  if (tape != nullptr && std::isfinite(value)) tape->backward(loss, 1.0f, ready);
  return value;
}

Place place_of(const StepScalars& scalars, int64_t steps, int64_t batches) {
  constexpr int64_t kRound = int64_t{1} << 20;  // more than there are epochs
  const int64_t place = scalars.step - scalars.epoch * steps;
  return {static_cast<int>(scalars.epoch + place / batches * kRound), place % batches};
}

}  // namespace expunge::unlearn
