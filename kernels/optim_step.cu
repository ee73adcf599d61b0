#include "kernels/each.cuh"
#include "kernels/optim_step.h"

namespace expunge::kernels::cuda {
namespace {

struct Sgd {
  math::SgdRule rule;
  float grad_scale;
  const float* grad;
  float *value, *momentum;
  __device__ void operator()(int64_t i) const {
    math::sgd(rule, grad_scale * grad[i], value[i], momentum[i]);
  }
};

struct Adam {
  math::AdamRule rule;
  float grad_scale;
  const float* grad;
  float *value, *mean, *square;
  __device__ void operator()(int64_t i) const {
    math::adam(rule, grad_scale * grad[i], value[i], mean[i], square[i]);
  }
};

}  // namespace

void sgd_step(Stream stream, int64_t n, const math::SgdRule& rule, float grad_scale,
              const float* grad, float* value, float* momentum) {
  each(stream, n, Sgd{rule, grad_scale, grad, value, momentum});
}

void adam_step(Stream stream, int64_t n, const math::AdamRule& rule, float grad_scale,
               const float* grad, float* value, float* mean, float* square) {
  each(stream, n, Adam{rule, grad_scale, grad, value, mean, square});
}

}  // namespace expunge::kernels::cuda
