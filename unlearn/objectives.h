#pragma once

#include <cstdint>
#include <vector>

#include "core/batch_source.h"
#include "core/ctx.h"
#include "unlearn/teachers.h"

namespace expunge::unlearn {

// Settings of a method that its objectives read, the same for a whole run.
struct ObjectiveNumbers {
  double alpha = 0;        // distil-*: weight of the distillation; ce-l1: of the penalty, at first
  double gamma = 1;        // distil-keep: weight of CE
  double temperature = 1;  // of the teachers' answers
  int penalty_epochs = 1;  // ce-l1: after so many the penalty is 0
  // Where published code and paper differ (methods.h): what the code does.
  bool mean_over_classes = false;  // imitate: KL is divided by the number of classes as well
  bool away_by_alpha = false;      // distil-away: times alpha
};
inline constexpr ObjectiveNumbers kNoNumbers{};

// What an objective is computed from: a forward pass over one batch.
struct ObjectiveInput {
  const Ctx& ctx;
  const Var& logits;      // (N, classes)
  const Tensor& labels;   // (N) i32, here or where the logits are
  const Tensor& teacher;  // (N, classes) logits of the objective's teacher
  const ObjectiveNumbers& numbers = kNoNumbers;
};

// A loss whose gradient is a side of the step: the forget side is walked down to unlearn, the
// retain side to keep. To add one: a function, and a row (docs/unlearning.md).
struct Objective {
  const char* name;
  const char* formula;
  Teacher teacher;
  Var (*loss)(const ObjectiveInput& in);  // a scalar, mean over the batch
  // Whether a GPU may record it (nn/step_recorder.h): the loss and its teacher queue the same in
  // every step, send nothing, and read no number of the step.
  bool recordable = false;
  // Labels that it takes in place of the true ones.
  Tensor (*labels)(const Batch& batch, const StepScalars& scalars, int64_t classes) = nullptr;
};
const std::vector<Objective>& objectives();
const Objective& objective(const char* name);

// Those that the objective takes for a batch.
Tensor labels_for(const Objective& objective, const Batch& batch, const StepScalars& scalars,
                  int64_t classes);

// A label other than the true one, uniform over the classes - 1 others: keyed by (seed, step,
// position), so redrawn in every step.
int32_t wrong_label(uint64_t seed, int64_t step, int32_t position, int32_t label, int64_t classes);

// The weight of ce-l1's penalty in an epoch (Jia et al. 2023): alpha (1 - epoch / penalty_epochs),
// and 0 afterwards.
double penalty_weight(const ObjectiveNumbers& numbers, int epoch);

}  // namespace expunge::unlearn
