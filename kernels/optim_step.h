#pragma once

#include <cstdint>

#include "core/device.h"
#include "kernels/optim_step_math.h"

// One pass over a run of the flat buffers: values, gradient (multiplied by grad_scale, not
// changed), state.
namespace expunge::kernels {

void sgd_step(Stream stream, int64_t n, const math::SgdRule& rule, float grad_scale,
              const float* grad, float* value, float* momentum);
void adam_step(Stream stream, int64_t n, const math::AdamRule& rule, float grad_scale,
               const float* grad, float* value, float* mean, float* square);

}  // namespace expunge::kernels
