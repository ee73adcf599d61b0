#pragma once

#include <cstdint>
#include <vector>

#include "core/batch_source.h"
#include "core/ctx.h"

namespace expunge::unlearn {

// What an objective is computed from: a forward pass over one batch.
struct ObjectiveInput {
  const Ctx& ctx;
  const Var& logits;      // (N, classes)
  const Batch& batch;     // labels, positions of the samples
  const Tensor& teacher;  // (N, classes) logits of the original network, where it is wanted
};

// A loss whose gradient is a side of the step: the forget side is walked down to unlearn, the
// retain side to keep. To add one: a function, and a row (docs/unlearning.md).
struct Objective {
  const char* name;
  const char* formula;
  bool wants_teacher;
  Var (*loss)(const ObjectiveInput& in);  // a scalar, mean over the batch
};
const std::vector<Objective>& objectives();
const Objective& objective(const char* name);

// A label other than the true one, uniform over the classes - 1 others: keyed by (seed, step,
// position), so redrawn in every step.
int32_t wrong_label(uint64_t seed, int64_t step, int32_t position, int32_t label, int64_t classes);

}  // namespace expunge::unlearn
