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

// *out = ||grads||^2. On the CPU each parameter's sum is blocked from its own start, so that it
// does not depend on its place in the buffer; a GPU takes the buffer as a whole, whose padding is
// zero.
void sum_squares_to(const RangeTable& ranges, const Tensor& grads, double* out) {
  const auto squares_to = [&](int64_t begin, int64_t n, double* sum) {
    kernels::sum_to(grads.stream(), kernels::Term::square, n, grads.data() + begin, sum);
  };
  if (grads.stream().device == Device::cuda) return squares_to(0, grads.size(), out);
  *out = 0;
  for (const Range& range : ranges) {
    double sum = 0;
    squares_to(range.offset, range.size, &sum);
    *out += sum;
  }
}

}  // namespace

Optimizer::Optimizer(const ParamStore& params, OptimConfig config)
    : config_(config),
      groups_(make_groups(params.parameters(), config)),
      scale_(params.values().stream()),
      steps_(static_cast<int64_t>(groups_.size() * sizeof(kernels::OptimStep)),
             params.values().stream(), scale_.on() && config.kind != OptimKind::sgd) {
  if (config.kind == OptimKind::sgd)
    state_ = {{"momentum", params.make_buffer()}};
  else
    state_ = {{"exp_avg", params.make_buffer()}, {"exp_avg_sq", params.make_buffer()}};
  squares_ = Tensor({sizeof(double) / sizeof(float)}, DType::f32, params.values().stream());
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

void Optimizer::prepare(const StepScalars& scalars, int64_t on_their_way) {
  steps_.send(scale_, scalars, on_their_way, [&](const StepScalars& taken, void* bytes) {
    auto* steps = static_cast<kernels::OptimStep*>(bytes);
    for (size_t g = 0; g < groups_.size(); ++g)
      steps[g] = {.rule = rule(groups_[g], taken), .grad_scale = scalars.grad_scale};
  });
}

void Optimizer::apply(const ParamStore& params, const Tensor& grads, const float* losses,
                      float* norm) const {
  const Tensor values = params.values();
  EXPUNGE_CHECK(grads.size() == values.size(), "optimizer: {} gradients for {} parameters",
                grads.size(), values.size());
  steps_.choose(scale_);
  auto* steps = static_cast<kernels::OptimStep*>(steps_.chosen());
  if (config_.clip_norm > 0) {
    auto* squares = static_cast<double*>(squares_.bytes());
    sum_squares_to(params.parameters(), grads, squares);
    kernels::clip(values.stream(), squares, config_.clip_norm, std::ssize(groups_), steps, norm);
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto at = [&](const Tensor& flat) { return flat.data() + groups_[g].begin; };
    kernels::optim_step(values.stream(), groups_[g].end - groups_[g].begin, steps + g, losses,
                        at(grads), at(values), at(state_.front().buffer),
                        state_.size() > 1 ? at(state_.back().buffer) : nullptr);
  }
}

void Optimizer::step(const ParamStore& params, const Tensor& grads, const StepScalars& scalars,
                     const float* losses, float* norm) {
  prepare(scalars);
  apply(params, grads, losses, norm);
}

}  // namespace expunge::nn
