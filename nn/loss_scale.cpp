#include "nn/loss_scale.h"

#include <cmath>

#include "kernels/precision.h"

namespace expunge::nn {

LossScale::LossScale(Stream stream) {
  if (kernels::precision() != kernels::Precision::fp16) return;
  const kernels::LossScaleState first;
  state_ = Tensor::of({first.scale, first.steady, first.skipped}).to(stream);
}

void LossScale::finish(std::span<const Tensor> gradients, std::span<const Tensor> squares,
                       const Tensor& losses) const {
  if (!on()) return;
  const int64_t n = losses.size() - 1;
  const Tensor overflow = losses.slice(n, {1});
  auto* state = static_cast<kernels::LossScaleState*>(state_.bytes());
  overflow.zero();
  for (const Tensor& g : gradients)
    kernels::unscale(g.stream(), g.size(), state, g.data(), overflow.data());
  for (const Tensor& s : squares) kernels::unscale_squares(s.stream(), s.size(), state, s.data());
  kernels::adapt_loss_scale(losses.stream(), losses.data(), static_cast<int>(n), overflow.data(),
                            state);
}

kernels::LossScaleState LossScale::fetch() const {
  return *static_cast<const kernels::LossScaleState*>(state_.to({}).bytes());
}

bool LossScale::skipped(float overflow) {
  if (std::isfinite(overflow)) return false;
  if (skipped_ >= 0) ++skipped_;
  if (std::isnan(overflow))
    fail(ExitCode::numerical,
         "gradients overflow in fp16 at a loss scale of {}, the least; --precision bf16 has the "
         "range of fp32, and a smaller --lr may help",
         kernels::kLeastLossScale);
  return true;
}

void LossScale::lose_count() {
  skipped_ = -1;
}

int64_t LossScale::known_skipped() {
  if (on() && skipped_ < 0) skipped_ = static_cast<int64_t>(fetch().skipped);
  return on() ? skipped_ : 0;
}

StepScalars LossScale::taken(StepScalars scalars, int64_t more) {
  scalars.step -= known_skipped() + more;
  return scalars;
}

const kernels::LossScaleState* LossScale::there() const {
  return on() ? static_cast<const kernels::LossScaleState*>(state_.bytes()) : nullptr;
}

std::vector<NamedBuffer> LossScale::state() const {
  if (!on()) return {};
  return {{"loss_scale", state_}};
}

}  // namespace expunge::nn
