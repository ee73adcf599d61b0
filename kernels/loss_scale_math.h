#pragma once

#include "kernels/optim_step_math.h"

// The loss scale S of training in fp16 (Micikevicius et al. 2018, section 3.2): the backward pass
// starts from S, so that small gradients do not vanish in f16, and what comes out is divided by S.
// S is a power of two, so that neither rounds. It doubles while nothing overflows, and a step in
// which something did is not taken.
namespace expunge::kernels {

// As floats, all of them whole numbers that a float holds, so that a run's state is floats only.
struct LossScaleState {
  float scale = 65536;  // S of the next step
  float steady = 0;     // steps since it changed
  float skipped = 0;    // steps of the run that were not taken
};
inline constexpr float kLeastLossScale = 1, kMostLossScale = 16777216;  // 2^24
inline constexpr float kSteadySteps = 2000;

}  // namespace expunge::kernels

namespace expunge::math {

// After a step, in which gradients overflowed where *overflow is not finite. It becomes NaN where
// nothing is left to halve: the caller gives up.
EXPUNGE_HD void adapt_loss_scale(float* overflow, kernels::LossScaleState& s) {
  if (!takes_step(overflow)) {
    s.scale /= 2, s.steady = 0, ++s.skipped;
    if (s.scale < kernels::kLeastLossScale) *overflow = __builtin_nanf("");
  } else if (++s.steady == kernels::kSteadySteps) {
    s.scale = s.scale < kernels::kMostLossScale ? 2 * s.scale : s.scale;
    s.steady = 0;
  }
}

// Which of `count` versions holds, the first of which is for `known` skipped steps. A step that is
// itself skipped may count as one more than there are: then nobody looks at what is chosen.
EXPUNGE_HD int version_of(const kernels::LossScaleState& s, float known, int count) {
  const float more = s.skipped - known;
  return more > 0 ? (more < static_cast<float>(count) ? static_cast<int>(more) : count - 1) : 0;
}

}  // namespace expunge::math
