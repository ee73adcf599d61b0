#include "kernels/loss_scale.h"

#include <cmath>
#include <cstring>

namespace expunge::kernels {

// fp16 is for GPUs: here is what their kernels do, one number after the other.
void unscale(Stream stream, int64_t n, const LossScaleState* state, float* grad, float* overflow) {
  const auto on_cpu = [&] {
    for (int64_t i = 0; i < n; ++i) {
      grad[i] *= 1.0f / state->scale;
      if (!math::is_finite(grad[i])) *overflow = HUGE_VALF;
    }
  };
  dispatch(stream, on_cpu, [&] { cuda::unscale(stream, n, state, grad, overflow); });
}

void unscale_squares(Stream stream, int64_t n, const LossScaleState* state, float* squares) {
  const auto on_cpu = [&] {
    for (int64_t i = 0; i < n; ++i) squares[i] *= 1.0f / (state->scale * state->scale);
  };
  dispatch(stream, on_cpu, [&] { cuda::unscale_squares(stream, n, state, squares); });
}

void adapt_loss_scale(Stream stream, const float* losses, int n, float* overflow,
                      LossScaleState* state) {
  const auto on_cpu = [&] {
    if (math::takes_step(losses, n)) math::adapt_loss_scale(overflow, *state);
  };
  dispatch(stream, on_cpu, [&] { cuda::adapt_loss_scale(stream, losses, n, overflow, state); });
}

void choose_version(Stream stream, const LossScaleState* state, const float* versions,
                    int64_t words, float* chosen) {
  const auto on_cpu = [&] {
    const int v = math::version_of(*state, versions[0], kVersions);
    std::memcpy(chosen, versions + kVersionsHead + v * words,
                static_cast<size_t>(words) * sizeof(float));
  };
  dispatch(stream, on_cpu, [&] { cuda::choose_version(stream, state, versions, words, chosen); });
}

}  // namespace expunge::kernels
