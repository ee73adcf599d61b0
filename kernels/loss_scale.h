#pragma once

#include <cstdint>

#include "core/device.h"
#include "kernels/loss_scale_math.h"

// The loss scale on the device, so that nobody waits for it and recorded steps read that of their
// time: queued behind the backward passes of a step, unscale() for every buffer of gradients, then
// adapt_loss_scale(). Formulas: loss_scale_math.h.
namespace expunge::kernels {

// grad[i] = grad[i] / S, n of them, on multiples of 16 bytes. *overflow becomes infinity where one
// is not finite, and stays as it is otherwise: an entry that math::takes_step looks at.
void unscale(Stream stream, int64_t n, const LossScaleState* state, float* grad, float* overflow);
// The same by S^2 for what is made of squares of gradients, and may be infinite.
void unscale_squares(Stream stream, int64_t n, const LossScaleState* state, float* squares);

// What the step makes of S; *overflow becomes NaN where S can go no lower. After one of the `n`
// losses that is not finite nothing changes: then it is not the scale's fault.
void adapt_loss_scale(Stream stream, const float* losses, int n, float* overflow,
                      LossScaleState* state);

// chosen (words) becomes the version of a step's numbers that holds: kVersions of them come one
// behind the other, kVersionsHead floats into `versions`; the first is for the number of skipped
// steps that stands there, the next for one more, and so on. Words are copied as they are.
inline constexpr int64_t kVersions = 4, kVersionsHead = 4;
void choose_version(Stream stream, const LossScaleState* state, const float* versions,
                    int64_t words, float* chosen);

// The same on a GPU (loss_scale.cu).
namespace cuda {
void unscale(Stream stream, int64_t n, const LossScaleState* state, float* grad, float* overflow);
void unscale_squares(Stream stream, int64_t n, const LossScaleState* state, float* squares);
void adapt_loss_scale(Stream stream, const float* losses, int n, float* overflow,
                      LossScaleState* state);
void choose_version(Stream stream, const LossScaleState* state, const float* versions,
                    int64_t words, float* chosen);
}  // namespace cuda

}  // namespace expunge::kernels
