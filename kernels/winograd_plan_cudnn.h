#pragma once

#include "kernels/conv_plan_cudnn.h"

// Our own Winograd (winograd_cuda.h) as a plan beside cuDNN's, whose engines of NHWC are all
// direct: in strict fp32, which it may have four times as fast.
namespace expunge::kernels::cudnn {

// With a few numbers of images at a time; empty where the problem does not take it.
std::vector<ConvPlan> winograd_plans(const ConvProblem& problem, const PlanLimits& limits);
// The one of this name; none where it is not one of these.
std::optional<ConvPlan> winograd_plan(const ConvProblem& problem, const ConvEngine& engine,
                                      const PlanLimits& limits);
}  // namespace expunge::kernels::cudnn
