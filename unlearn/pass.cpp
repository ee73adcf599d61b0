#include "unlearn/pass.h"

#include <algorithm>
#include <array>
#include <cmath>

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
          .params16 = nn::params16(pass.values),
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
  constexpr size_t kMost = 2;
  EXPUNGE_CHECK(!passes.empty() && passes.size() <= kMost, "joint pass: {} passes", passes.size());
  const QueuedPass& first = passes.front();
  EXPUNGE_CHECK(std::ranges::all_of(passes,
                                    [&](const QueuedPass& p) {
                                      return &p.pass.network == &first.pass.network &&
                                             &p.pass.values == &first.pass.values &&
                                             p.pass.mode == first.pass.mode;
                                    }),
                "joint pass: passes of several networks, values or modes");
  Ctx ctx = context(first.pass, first.scalars, &tape);
  ctx.scalars_there = first.scalars_there;
  std::array<JointBatch, kMost> joint;
  std::array<Tensor, kMost> teachers;
  for (size_t k = 0; k < passes.size(); ++k) {
    const QueuedPass& p = passes[k];
    joint[k] = {p.batch.size(), p.pass.batch_norm, &p.scalars, p.scalars_there};
    teachers[k] = teacher_of(p.pass, p.batch);
  }
  if (passes.size() > 1) {
    ctx.joint = std::span(joint).first(passes.size());
    ctx.scalars = ctx.scalars_there = nullptr;  // each has its own
  }
  Var total;
  {
    const Tensor x = images_of(passes);
    const Var logits = first.pass.network.forward(ctx, {x, Var::kNone});
    size_t next = 0;
    ctx.for_batches(x.dim(0), [&](const Ctx& own, int64_t n0, int64_t n1) {
      const size_t k = next++;
      const QueuedPass& p = passes[k];
      const Var mine = passes.size() == 1 ? logits : nn::rows(own, logits, n0, n1);
      const Var loss = p.pass.objective.loss({own, mine, p.labels, teachers[k], p.pass.numbers});
      nn::note_loss(loss.value, p.loss);
      total = k == 0 ? loss : nn::add(own, total, loss);
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
