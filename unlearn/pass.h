#pragma once

#include <span>

#include "nn/network.h"
#include "unlearn/objectives.h"

namespace expunge::unlearn {

// One forward pass of a batch through an objective.
struct Pass {
  const nn::Network& network;
  const ParamStore& values;
  const Objective& objective;
  BatchNormMode batch_norm = BatchNormMode::frozen;
  const Teachers* teachers = nullptr;  // where the objective has one
  Mode mode = Mode::train;             // of dropout
  const ObjectiveNumbers& numbers = kNoNumbers;
};

// The mean of the objective over the batch. With a tape that is bound to `values` also its
// gradient, unless the loss is not finite; `seed` and `ready` as in Tape::backward.
double loss_of(const Pass& pass, const Batch& batch, const StepScalars& scalars,
               Tape* tape = nullptr, const Tensor& seed = {}, Tape::Ready ready = {});

// A pass to be queued on a GPU: beside what it is, where it finds what changes from step to step,
// and where its loss goes (1), by nn::note_loss.
struct QueuedPass {
  Pass pass;
  const Batch& batch;
  const StepScalars& scalars;
  const StepScalars* scalars_there;
  Tensor labels;  // (N) i32, those that the objective takes
  Tensor loss;
};
// One pass, or two of a network as one joint pass (Ctx::joint) with a tape that is bound to the
// gradients of both. Gradients are taken whatever the losses are, from `seed` as in Tape::backward,
// and nothing waits, so that it can be recorded.
void queue_losses(std::span<const QueuedPass> passes, const Tensor& seed, Tape& tape);

// Where a step stands in a source of `batches` batches, if an epoch has `steps` steps. A source
// that is shorter begins anew, as an epoch apart from all others; a function of epoch and step
// alone, so that a run can go on anywhere.
struct Place {
  int epoch;
  int64_t batch;
};
Place place_of(const StepScalars& scalars, int64_t steps, int64_t batches);

}  // namespace expunge::unlearn
