#include "unlearn/pass.h"

#include <cmath>

#include "nn/fit.h"

namespace expunge::unlearn {
namespace {

// `labels`: of the objective, given the network's answers.
template <class Labels>
Var loss_at(const Pass& pass, const Batch& batch, const Ctx& ctx, Labels labels) {
  Tensor teacher;
  if (pass.objective.teacher != Teacher::none)
    teacher = pass.teachers->logits(pass.objective.teacher, pass.network, batch);
  const Var logits = pass.network.forward(ctx, {batch.x, Var::kNone});
  return pass.objective.loss({ctx, logits, labels(logits.value), teacher, pass.numbers});
}

Ctx context(const Pass& pass, const StepScalars& scalars, Tape* tape) {
  return {.stream = pass.values.values().stream(),
          .params = &pass.values,
          .tape = tape,
          .mode = pass.mode,
          .batch_norm = pass.batch_norm,
          .scalars = &scalars};
}

}  // namespace

double loss_of(const Pass& pass, const Batch& batch, const StepScalars& scalars, Tape* tape,
               const Tensor& seed, Tape::Ready ready) {
  const Var loss = loss_at(pass, batch, context(pass, scalars, tape), [&](const Tensor& logits) {
    return labels_for(pass.objective, batch, scalars, logits.dim(1));
  });
  const double value = double{value_of(loss.value)};
  if (tape != nullptr && std::isfinite(value)) tape->backward(loss, seed, ready);
  return value;
}

void queue_loss(const Pass& pass, const Batch& batch, const StepScalars& scalars,
                const PassInputs& inputs, Tape& tape, const Tensor& loss) {
  Ctx ctx = context(pass, scalars, &tape);
  ctx.scalars_there = inputs.scalars;
  const Var found =
      loss_at(pass, batch, ctx, [&](const Tensor&) -> const Tensor& { return inputs.labels; });
  nn::note_loss(found.value, loss);
  tape.backward(found, inputs.seed);
}

Place place_of(const StepScalars& scalars, int64_t steps, int64_t batches) {
  constexpr int64_t kRound = int64_t{1} << 20;  // more than there are epochs
  const int64_t place = scalars.step - scalars.epoch * steps;
  return {static_cast<int>(scalars.epoch + place / batches * kRound), place % batches};
}

}  // namespace expunge::unlearn
