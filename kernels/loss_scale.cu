#include "kernels/each.cuh"
#include "kernels/loss_scale.h"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

// V neighbours.
template <int V>
struct Unscale {
  const LossScaleState* state;
  float *grad, *overflow;
  __device__ void operator()(int64_t i) const {
    const float inverse = 1.0f / state->scale;
    Floats<V> g = load<V>(grad + V * i);
    bool finite = true;
    for (int v = 0; v < V; ++v) {
      g.v[v] *= inverse;
      finite &= math::is_finite(g.v[v]);
    }
    store(grad + V * i, g);
    if (!finite) atomicExch(overflow, HUGE_VALF);  // whoever comes writes the same
  }
};

struct UnscaleSquares {
  const LossScaleState* state;
  float* squares;
  template <int V>
  __device__ void at(int64_t i) const {
    const float inverse = 1.0f / (state->scale * state->scale);
    store(squares + i, inverse * load<V>(squares + i));
  }
};

struct Adapt {
  const float* losses;
  int n;
  float* overflow;
  LossScaleState* state;
  __device__ void operator()(int64_t) const {
    if (math::takes_step(losses, n)) math::adapt_loss_scale(overflow, *state);
  }
};

struct Choose {
  const LossScaleState* state;
  const uint32_t* versions;
  int64_t words;
  uint32_t* chosen;
  __device__ void operator()(int64_t i) const {
    const int v = math::version_of(*state, __uint_as_float(versions[0]), kVersions);
    chosen[i] = versions[kVersionsHead + v * words + i];
  }
};

}  // namespace

void unscale(Stream stream, int64_t n, const LossScaleState* state, float* grad, float* overflow) {
  constexpr int V = kVector<float>;
  const StreamAt at = stream;
  if (n % V == 0)
    each(at, n / V, Unscale<V>{state, grad, overflow});
  else
    each(at, n, Unscale<1>{state, grad, overflow});
}

void unscale_squares(Stream stream, int64_t n, const LossScaleState* state, float* squares) {
  each_vector<kVector<float>>(stream, n, UnscaleSquares{state, squares});
}

void adapt_loss_scale(Stream stream, const float* losses, int n, float* overflow,
                      LossScaleState* state) {
  each(stream, 1, Adapt{losses, n, overflow, state});
}

void choose_version(Stream stream, const LossScaleState* state, const float* versions,
                    int64_t words, float* chosen) {
  each(stream, words,
       Choose{state, reinterpret_cast<const uint32_t*>(versions), words,
              reinterpret_cast<uint32_t*>(chosen)});
}

}  // namespace expunge::kernels::cuda
