#include "kernels/optim_step.h"

#include "core/parallel.h"

namespace expunge::kernels {
namespace {

// Without overlap, and with the choice of rule outside the loop, so that it becomes vector
// instructions.
template <bool decoupled>
void adam_range(int64_t n, math::AdamRule rule, float scale, const float* __restrict grad,
                float* __restrict value, float* __restrict mean, float* __restrict square) {
  rule.decoupled = decoupled;
  for (int64_t i = 0; i < n; ++i) math::adam(rule, scale * grad[i], value[i], mean[i], square[i]);
}

void sgd_range(int64_t n, math::SgdRule rule, float scale, const float* __restrict grad,
               float* __restrict value, float* __restrict momentum) {
  for (int64_t i = 0; i < n; ++i) math::sgd(rule, scale * grad[i], value[i], momentum[i]);
}

}  // namespace

void optim_step(Stream stream, int64_t n, const OptimStep* step, const float* losses,
                const float* grad, float* value, float* first, float* second) {
  const auto on_cpu = [&] {
    if (!math::takes_step(losses, kOptimLosses)) return;
    const auto adam = step->rule.adam.decoupled ? adam_range<true> : adam_range<false>;
    parallel_ranges(n, [=, s = *step](int64_t begin, int64_t end) {
      const float* g = grad + begin;
      if (s.rule.is_adam)
        adam(end - begin, s.rule.adam, s.grad_scale, g, value + begin, first + begin,
             second + begin);
      else
        sgd_range(end - begin, s.rule.sgd, s.grad_scale, g, value + begin, first + begin);
    });
  };
  dispatch(stream, on_cpu,
           [&] { cuda::optim_step(stream, n, step, losses, grad, value, first, second); });
}

void clip(Stream stream, const double* squares, float most, int64_t n, OptimStep* steps,
          float* norm) {
  const auto on_cpu = [&] {
    for (int64_t k = 0; k < n; ++k) {
      const float before = math::clip(*squares, most, steps[k].grad_scale);
      if (norm != nullptr) *norm = before;
    }
  };
  dispatch(stream, on_cpu, [&] { cuda::clip(stream, squares, most, n, steps, norm); });
}

}  // namespace expunge::kernels
