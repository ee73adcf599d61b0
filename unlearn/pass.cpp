#include "unlearn/pass.h"

#include <cmath>
#include <vector>

#include "nn/fit.h"
#include "nn/ops.h"

namespace expunge::unlearn {
namespace {

Tensor teacher_of(const Pass& pass, const Batch& batch) {
  if (pass.objective.teacher == Teacher::none) return {};
  return pass.teachers->logits(pass.objective.teacher, pass.network, batch);
}

Ctx context(const Pass& pass, const StepScalars& scalars, Tape* tape) {
  return {.stream = pass.values.values().stream(),
          .params = &pass.values,
          .tape = tape,
          .mode = pass.mode,
          .batch_norm = pass.batch_norm,
          .scalars = &scalars};
}

// Of all batches, one behind the other: (N, H, W, C).
Tensor images_of(std::span<const QueuedPass> passes) {
  if (passes.size() == 1) return passes[0].batch.x;
  const Tensor& first = passes[0].batch.x;
  int64_t N = 0;
  for (const QueuedPass& p : passes) N += p.batch.size();
  const Tensor all({N, first.dim(1), first.dim(2), first.dim(3)}, DType::f32, first.stream());
  int64_t at = 0;
  for (const QueuedPass& p : passes) {
    all.slice(at, p.batch.x.shape()).copy_from(p.batch.x);
    at += p.batch.x.size();
  }
  return all;
}

}  // namespace

double loss_of(const Pass& pass, const Batch& batch, const StepScalars& scalars, Tape* tape,
               const Tensor& seed, Tape::Ready ready) {
  const Ctx ctx = context(pass, scalars, tape);
  Var loss;
  {
    const Tensor teacher = teacher_of(pass, batch);
    const Var logits = pass.network.forward(ctx, {batch.x, Var::kNone});
    const Tensor labels = labels_for(pass.objective, batch, scalars, logits.value.dim(1));
    loss = pass.objective.loss({ctx, logits, labels, teacher, pass.numbers});
  }
  const double value = double{value_of(loss.value)};
  if (tape != nullptr && std::isfinite(value)) tape->backward(loss, seed, ready);
  return value;
}

void queue_losses(std::span<const QueuedPass> passes, const Tensor& seed, Tape& tape) {
  const QueuedPass& first = passes[0];
  Ctx ctx = context(first.pass, first.scalars, &tape);
  ctx.scalars_there = first.scalars_there;
  std::vector<JointBatch> joint;
  if (passes.size() > 1)
    for (const QueuedPass& p : passes)
      joint.push_back({p.batch.size(), p.pass.batch_norm, &p.scalars, p.scalars_there});
  ctx.joint = joint;
  Var total;
  {
    const Tensor x = images_of(passes);
    const Var logits = first.pass.network.forward(ctx, {x, Var::kNone});
    size_t next = 0;
    ctx.for_batches(x.dim(0), [&](const Ctx& own, int64_t n0, int64_t n1) {
      const QueuedPass& p = passes[next++];
      const Var mine = joint.empty() ? logits : nn::rows(own, logits, n0, n1);
      const Var loss =
          p.pass.objective.loss({own, mine, p.labels, teacher_of(p.pass, p.batch), p.pass.numbers});
      nn::note_loss(loss.value, p.loss);
      total = next == 1 ? loss : nn::add(own, total, loss);
    });
  }
  tape.backward(total, seed);
}

Place place_of(const StepScalars& scalars, int64_t steps, int64_t batches) {
  constexpr int64_t kRound = int64_t{1} << 20;  // more than there are epochs
  const int64_t place = scalars.step - scalars.epoch * steps;
  return {static_cast<int>(scalars.epoch + place / batches * kRound), place % batches};
}

}  // namespace expunge::unlearn
