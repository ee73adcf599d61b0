#include "kernels/each.cuh"
#include "kernels/optim_step.h"

namespace expunge::kernels::cuda {
namespace {

struct Optim {
  const OptimStep* step;
  const float *losses, *grad;
  float *value, *first, *second;
  __device__ void operator()(int64_t i) const {
    if (!math::takes_step(losses, kOptimLosses)) return;
    const float g = step->grad_scale * grad[i];
    if (step->rule.is_adam)
      math::adam(step->rule.adam, g, value[i], first[i], second[i]);
    else
      math::sgd(step->rule.sgd, g, value[i], first[i]);
  }
};

struct Clip {
  const double* squares;
  float most;
  OptimStep* steps;
  float* norm;
  __device__ void operator()(int64_t k) const {
    const float before = math::clip(*squares, most, steps[k].grad_scale);
    if (k == 0 && norm != nullptr) *norm = before;
  }
};

}  // namespace

void clip(Stream stream, const double* squares, float most, int64_t n, OptimStep* steps,
          float* norm) {
  each(stream, n, Clip{squares, most, steps, norm});
}

void optim_step(Stream stream, int64_t n, const OptimStep* step, const float* losses,
                const float* grad, float* value, float* first, float* second) {
  each(stream, n, Optim{step, losses, grad, value, first, second});
}

}  // namespace expunge::kernels::cuda
