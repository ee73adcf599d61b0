#pragma once

#include <cstdint>

#include "core/device.h"
#include "kernels/optim_step_math.h"

// One pass over a run of the flat buffers: values, gradient (not changed), state.
namespace expunge::kernels {

// What an optimizer does to a run of parameters in this step.
struct OptimRule {
  bool is_adam = false;
  math::SgdRule sgd{};
  math::AdamRule adam{};
};

struct OptimStep {
  OptimRule rule{};
  float grad_scale = 1;  // the gradient is multiplied by this before use
};

// `step` and `losses` lie where the stream works, so that a recorded launch takes those of its
// time. losses: (kOptimLosses) or null, the loss and whether gradients overflowed (loss_scale.h);
// where one is not finite nothing changes. The state: SGD's momentum and null, or Adam's mean and
// square.
inline constexpr int kOptimLosses = 2;
void optim_step(Stream stream, int64_t n, const OptimStep* step, const float* losses,
                const float* grad, float* value, float* first, float* second);

// Clipping (math::clip), queued before the `n` steps of an optimizer: from *squares, ||grad||^2 of
// them all, their grad_scale, and in *norm what the norm was; null where nobody asks.
void clip(Stream stream, const double* squares, float most, int64_t n, OptimStep* steps,
          float* norm);

// The same on a GPU (optim_step.cu).
namespace cuda {

void clip(Stream stream, const double* squares, float most, int64_t n, OptimStep* steps,
          float* norm);

void optim_step(Stream stream, int64_t n, const OptimStep* step, const float* losses,
                const float* grad, float* value, float* first, float* second);

}  // namespace cuda

}  // namespace expunge::kernels
