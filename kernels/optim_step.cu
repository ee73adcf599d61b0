#include "kernels/each.cuh"
#include "kernels/optim_step.h"

namespace expunge::kernels::cuda {
namespace {

// All that is read is on its way before one number is used: of the rule too, which is there only.
struct Optim {
  const OptimStep* step;
  const float *losses, *grad;
  float *value, *first, *second;

  template <int V>
  __device__ void at(int64_t i) const {
    const bool taken = math::takes_step(losses, kOptimLosses);
    const OptimStep s = *step;
    const Floats<V> g = load<V>(grad + i);
    Floats<V> w = load<V>(value + i), m = load<V>(first + i), squares{};
    if (second != nullptr) squares = load<V>(second + i);
    for (int v = 0; v < V; ++v)
      if (s.rule.is_adam)
        math::adam(s.rule.adam, s.grad_scale * g.v[v], w.v[v], m.v[v], squares.v[v]);
      else
        math::sgd(s.rule.sgd, s.grad_scale * g.v[v], w.v[v], m.v[v]);
    if (!taken) return;
    store(value + i, w), store(first + i, m);
    if (s.rule.is_adam) store(second + i, squares);
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
  constexpr unsigned kThreads = 128;  // as in grad_alignment.cu
  const Optim body{step, losses, grad, value, first, second};
  if (on_vectors({grad, value, first, second}))
    each_vector<kVector<float>, kThreads>(stream, n, body);
  else
    each_vector<1, kThreads>(stream, n, body);
}

}  // namespace expunge::kernels::cuda
