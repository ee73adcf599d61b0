#pragma once

#include <memory>

#include "core/work_graph.h"
#include "nn/fit.h"
#include "nn/network.h"
#include "nn/optim.h"

namespace expunge::nn {

struct SupervisedConfig {
  float label_smoothing = 0;
  bool record = true;  // on a GPU
};

// The step of ordinary training: mean cross-entropy (or squared error where the batch has targets),
// one backward pass, one optimizer step. After a loss that is not finite the weights stay those of
// the last good step.
//
// On a GPU a step whose images come to the same place as those of the step before, and are as many,
// is recorded and from then on launched as a whole (core/work_graph.h): the same kernels in the
// same order, hence the same bits. Clipping looks at the gradient from the host, and is not
// recorded.
class SupervisedStep : public Step {
 public:
  SupervisedStep(Model& model, Optimizer& optimizer, SupervisedConfig config = {});
  StepResult run(const Batch& batch, const StepScalars& scalars) override;
  bool has_recorded() const { return graph_ != nullptr; }

 private:
  struct Key {
    const void* images = nullptr;
    int64_t n = 0;
    bool operator==(const Key&) const = default;
  };
  void prepare(const Batch& batch, const StepScalars& scalars);
  void differentiate(const Batch& batch, const StepScalars& scalars);
  const WorkGraph* recorded(const Batch& batch, const StepScalars& scalars);

  Model& model_;
  Optimizer& optimizer_;
  SupervisedConfig config_;
  Tensor grads_;
  Tape tape_;
  Tensor labels_, scalars_;  // what changes from step to step, where the model is
  Tensor found_;             // (2) the loss, and how many answers were right
  Key last_, graph_key_;
  std::unique_ptr<WorkGraph> graph_;
};

}  // namespace expunge::nn
