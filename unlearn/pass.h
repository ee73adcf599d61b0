#pragma once

#include "nn/network.h"
#include "unlearn/objectives.h"

namespace expunge::unlearn {

// One forward pass of a batch through an objective.
struct Pass {
  const nn::Network& network;
  const ParamStore& values;
  const Objective& objective;
  BatchNormMode batch_norm = BatchNormMode::frozen;
  const ParamStore* teacher = nullptr;  // the original values, where the objective wants them
  Mode mode = Mode::train;              // of dropout
};

// The mean of the objective over the batch. With a tape that is bound to `values` also its
// gradient, unless the loss is not finite; `ready` as in Tape::backward.
double loss_of(const Pass& pass, const Batch& batch, const StepScalars& scalars,
               Tape* tape = nullptr, Tape::Ready ready = {});

}  // namespace expunge::unlearn
