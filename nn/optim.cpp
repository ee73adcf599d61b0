#include "nn/optim.h"

#include <algorithm>
#include <cmath>

#include "kernels/reduce.h"

namespace expunge::nn {
namespace {

// Runs of the flat buffers with equal settings. Padding belongs to the run before it and stays
// zero.
std::vector<ParamGroup> make_groups(const RangeTable& ranges, const OptimConfig& config) {
  std::vector<ParamGroup> groups;
  for (const Range& range : ranges) {
    const bool decayed = config.decay_norm_bias || range.role == Role::weight;
    const float decay = decayed ? config.weight_decay : 0.0f;
    if (!groups.empty() && groups.back().weight_decay == decay) continue;
    if (!groups.empty()) groups.back().end = range.offset;
    groups.push_back({range.offset, ranges.padded_size(), 1.0f, decay});
  }
  return groups;
}

// Each parameter's sum is blocked from its own start, so it does not depend on its place in the
// buffer.
double gradient_norm(const RangeTable& ranges, const Tensor& grads) {
  double total = 0;
  for (const Range& range : ranges)
    total += kernels::sum_squares(grads.stream(), range.size, grads.data() + range.offset);
  return std::sqrt(total);
}

}  // namespace

Optimizer::Optimizer(const ParamStore& params, OptimConfig config)
    : config_(config), groups_(make_groups(params.parameters(), config)) {
  if (config.kind == OptimKind::sgd)
    state_ = {{"momentum", params.make_buffer()}};
  else
    state_ = {{"exp_avg", params.make_buffer()}, {"exp_avg_sq", params.make_buffer()}};
}

kernels::OptimRule Optimizer::rule(const ParamGroup& group, const StepScalars& scalars) const {
  const double t = static_cast<double>(scalars.step + 1);
  const float lr = scalars.lr * group.lr_scale;
  return {.is_adam = config_.kind != OptimKind::sgd,
          .sgd = {lr, config_.momentum, group.weight_decay, config_.nesterov},
          .adam = {.lr = lr,
                   .beta1 = config_.beta1,
                   .beta2 = config_.beta2,
                   .eps = config_.eps,
                   .weight_decay = group.weight_decay,
                   .bias1 = static_cast<float>(1.0 - std::pow(double{config_.beta1}, t)),
                   .bias2 = static_cast<float>(1.0 - std::pow(double{config_.beta2}, t)),
                   .decoupled = config_.kind == OptimKind::adamw}};
}

double Optimizer::step(ParamStore& params, const Tensor& grads, const StepScalars& scalars) {
  const Tensor values = params.values();
  EXPUNGE_CHECK(grads.size() == values.size(), "optimizer: {} gradients for {} parameters",
                grads.size(), values.size());
  double norm = 0;
  float grad_scale = scalars.grad_scale;
  if (config_.clip_norm > 0) {
    norm = gradient_norm(params.parameters(), grads) * double{grad_scale};
    grad_scale *= static_cast<float>(std::min(1.0, double{config_.clip_norm} / (norm + 1e-6)));
  }
  for (const ParamGroup& group : groups_) {
    const int64_t n = group.end - group.begin;
    const kernels::OptimRule r = rule(group, scalars);
    const float* g = grads.data() + group.begin;
    float* w = values.data() + group.begin;
    float* first = state_[0].buffer.data() + group.begin;
    if (r.is_adam)
      kernels::adam_step(values.stream(), n, r.adam, grad_scale, g, w, first,
                         state_[1].buffer.data() + group.begin);
    else
      kernels::sgd_step(values.stream(), n, r.sgd, grad_scale, g, w, first);
  }
  return norm;
}

}  // namespace expunge::nn
