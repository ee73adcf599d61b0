#pragma once

#include <cstdint>

#include "core/device.h"
#include "kernels/optim_step_math.h"

// One pass over a run of the flat buffers: values, gradient (multiplied by grad_scale, not
// changed), state.
namespace expunge::kernels {

// What an optimizer does to a run of parameters in this step.
struct OptimRule {
  bool is_adam = false;
  math::SgdRule sgd{};
  math::AdamRule adam{};
};

void sgd_step(Stream stream, int64_t n, const math::SgdRule& rule, float grad_scale,
              const float* grad, float* value, float* momentum);
void adam_step(Stream stream, int64_t n, const math::AdamRule& rule, float grad_scale,
               const float* grad, float* value, float* mean, float* square);

// The same on a GPU (optim_step.cu).
namespace cuda {

void sgd_step(Stream stream, int64_t n, const math::SgdRule& rule, float grad_scale,
              const float* grad, float* value, float* momentum);
void adam_step(Stream stream, int64_t n, const math::AdamRule& rule, float grad_scale,
               const float* grad, float* value, float* mean, float* square);

}  // namespace cuda

}  // namespace expunge::kernels
