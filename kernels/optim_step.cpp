#include "kernels/optim_step.h"

#include "core/parallel.h"

namespace expunge::kernels {

void sgd_step(Stream, int64_t n, const math::SgdRule& rule, float grad_scale, const float* grad,
              float* value, float* momentum) {
  parallel_ranges(n, [=, r = rule](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) math::sgd(r, grad_scale * grad[i], value[i], momentum[i]);
  });
}

void adam_step(Stream, int64_t n, const math::AdamRule& rule, float grad_scale, const float* grad,
               float* value, float* mean, float* square) {
  parallel_ranges(n, [=, r = rule](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      math::adam(r, grad_scale * grad[i], value[i], mean[i], square[i]);
  });
}

}  // namespace expunge::kernels
