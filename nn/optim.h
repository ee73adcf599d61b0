#pragma once

#include <string>
#include <vector>

#include "core/param_store.h"
#include "core/step_scalars.h"
#include "kernels/optim_step.h"
#include "nn/loss_scale.h"
#include "nn/versions.h"

namespace expunge::nn {

enum class OptimKind : unsigned char { sgd, adam, adamw };
constexpr int state_buffers(OptimKind kind) {
  return kind == OptimKind::sgd ? 1 : 2;
}

struct OptimConfig {
  OptimKind kind = OptimKind::sgd;
  float momentum = 0.9f;
  bool nesterov = false;
  float weight_decay = 5e-4f;  // sgd, adam: added to the gradient (L2); adamw: decoupled
  bool decay_norm_bias =
      true;  // false: batch norm's parameters and biases form a group without decay
  float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
  float clip_norm = 0;  // 0: no clipping, otherwise the global L2 norm is cut to this
};

// Parameters that share settings: a run of elements of the flat buffers.
struct ParamGroup {
  int64_t begin, end;
  float lr_scale;
  float weight_decay;
};

// Holds the optimizer's flat state buffers; one pass over them per step.
class Optimizer {
 public:
  Optimizer(const ParamStore& params, OptimConfig config);

  // Values of `params` move along -grads. Reads scalars.lr and step; `grads` is not changed.
  // Beside the parameters: `losses` (kernels::kOptimLosses) or null, where one is not finite
  // nothing changes; `norm` (1) or null, the gradient's L2 norm before clipping, where clip_norm is
  // set.
  void step(const ParamStore& params, const Tensor& grads, const StepScalars& scalars,
            const float* losses = nullptr, float* norm = nullptr);

  // The same in two parts, for a step that is recorded: what the scalars say is sent where the
  // parameters are, and done from there, once. on_their_way: as Versions::send's.
  void prepare(const StepScalars& scalars, int64_t on_their_way = 0);
  void apply(const ParamStore& params, const Tensor& grads, const float* losses = nullptr,
             float* norm = nullptr) const;

  // What step() does to the parameters of `group` with the gradient as it is (not clipped): for
  // steps that do more to a parameter than an optimizer does.
  kernels::OptimRule rule(const ParamGroup& group, const StepScalars& scalars) const;
  const std::vector<ParamGroup>& groups() const { return groups_; }

  const OptimConfig& config() const { return config_; }
  // Names and buffers to save and restore: "momentum", or "exp_avg" and "exp_avg_sq".
  const std::vector<NamedBuffer>& state() const { return state_; }
  // Of all steps that it makes. Has a state of its own to save.
  LossScale& loss_scale() { return scale_; }
  const LossScale& loss_scale() const { return scale_; }

 private:
  OptimConfig config_;
  std::vector<ParamGroup> groups_;
  std::vector<NamedBuffer> state_;
  LossScale scale_;
  Versions steps_;  // (groups) kernels::OptimStep
  Tensor squares_;  // a double as two floats, where clipping reads it: the gradient's squares
};

}  // namespace expunge::nn
