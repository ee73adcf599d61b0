#include "kernels/each.cuh"
#include "kernels/elementwise.h"
#include "kernels/elementwise_math.h"

namespace expunge::kernels::cuda {
namespace {

template <class F>
struct Forward {
  const float* x;
  float* y;
  __device__ void operator()(int64_t i) const { y[i] = F::f(x[i]); }
};

template <class F>
struct Backward {
  const float *x, *y, *dy;
  float beta;
  float* dx;
  __device__ void operator()(int64_t i) const {
    const float d = dy[i] * F::df(x[i], y[i]);
    dx[i] = beta == 0.0f ? d : beta * dx[i] + d;  // beta 0: dx may hold anything, NaN included
  }
};

struct Add {
  const float *a, *b;
  float* y;
  __device__ void operator()(int64_t i) const { y[i] = a[i] + b[i]; }
};

struct Axpby {
  float alpha;
  const float* x;
  float beta;
  float* y;
  __device__ void operator()(int64_t i) const {
    y[i] = beta == 0.0f ? alpha * x[i] : beta * y[i] + alpha * x[i];
  }
};

// Four elements, as many as a draw has words.
struct Dropout {
  int64_t n;
  float p, scale;
  DropoutKey key;
  const float* x;
  float beta;
  float* y;
  __device__ void operator()(int64_t block) const {
    const rng::Draw draw = math::dropout_draw(key.seed, key.step, key.pass, key.layer, block);
    for (int64_t i = 4 * block; i < 4 * block + 4 && i < n; ++i) {
      const float kept = math::dropout(draw.word[i - 4 * block], p, scale, x[i]);
      y[i] = beta == 0.0f ? kept : beta * y[i] + kept;
    }
  }
};

}  // namespace

template <class F>
void elementwise(Stream stream, int64_t n, const float* x, float* y) {
  each(stream, n, Forward<F>{x, y});
}

template <class F>
void elementwise_backward(Stream stream, int64_t n, const float* x, const float* y, const float* dy,
                          float beta, float* dx) {
  each(stream, n, Backward<F>{x, y, dy, beta, dx});
}

#define INSTANTIATE(F)                                                                     \
  template void elementwise<math::F>(Stream, int64_t, const float*, float*);               \
  template void elementwise_backward<math::F>(Stream, int64_t, const float*, const float*, \
                                              const float*, float, float*);
EXPUNGE_FOR_EACH_ELEMENTWISE(INSTANTIATE)

void add(Stream stream, int64_t n, const float* a, const float* b, float* y) {
  each(stream, n, Add{a, b, y});
}

void axpby(Stream stream, int64_t n, float alpha, const float* x, float beta, float* y) {
  each(stream, n, Axpby{alpha, x, beta, y});
}

void dropout(Stream stream, int64_t n, float p, DropoutKey key, const float* x, float beta,
             float* y) {
  each(stream, (n + 3) / 4, Dropout{n, p, 1.0f / (1.0f - p), key, x, beta, y});
}

}  // namespace expunge::kernels::cuda
