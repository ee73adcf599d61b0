#pragma once

#include "kernels/conv_plan_cudnn.h"

// Our own ways as plans beside cuDNN's: Winograd in strict fp32 (winograd_cuda.h), where its
// engines of NHWC are all direct, with a few numbers of images at a time; gradients of weights in
// tf32, and of 16-bit data in f32 (conv2d_taps.h).
namespace expunge::kernels::cudnn {

// Empty where the problem takes neither.
std::vector<ConvPlan> own_plans(const ConvProblem& problem, const PlanLimits& limits);
// The one of this name; none where it is not one of these.
std::optional<ConvPlan> own_plan(const ConvProblem& problem, const ConvEngine& engine,
                                 const PlanLimits& limits);

}  // namespace expunge::kernels::cudnn
