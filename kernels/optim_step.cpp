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

}  // namespace

void sgd_step(Stream stream, int64_t n, const math::SgdRule& rule, float grad_scale,
              const float* grad, float* value, float* momentum) {
  const auto on_cpu = [&] {
    parallel_ranges(n, [=, r = rule](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        math::sgd(r, grad_scale * grad[i], value[i], momentum[i]);
    });
  };
  dispatch(stream, on_cpu,
           [&] { cuda::sgd_step(stream, n, rule, grad_scale, grad, value, momentum); });
}

void adam_step(Stream stream, int64_t n, const math::AdamRule& rule, float grad_scale,
               const float* grad, float* value, float* mean, float* square) {
  const auto on_cpu = [&] {
    const auto range = rule.decoupled ? adam_range<true> : adam_range<false>;
    parallel_ranges(n, [=, r = rule](int64_t begin, int64_t end) {
      range(end - begin, r, grad_scale, grad + begin, value + begin, mean + begin, square + begin);
    });
  };
  dispatch(stream, on_cpu,
           [&] { cuda::adam_step(stream, n, rule, grad_scale, grad, value, mean, square); });
}

}  // namespace expunge::kernels
