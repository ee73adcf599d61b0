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
    dx[i] = math::accumulated(beta, dx[i], dy[i] * F::df(x[i], y[i]));
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
    y[i] = math::accumulated(beta, y[i], alpha * x[i]);
  }
};

struct Chain {
  const float* g;
  float divisor;
  const float* x;
  float beta;
  float* y;
  __device__ void operator()(int64_t i) const {
    y[i] = math::accumulated(beta, y[i], g[0] / divisor * x[i]);
  }
};

struct ChainSign {
  const float *g, *x;
  float beta;
  float* y;
  __device__ void operator()(int64_t i) const {
    y[i] = math::accumulated(beta, y[i], g[0] * math::sign(x[i]));
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
    const rng::Draw draw =
        math::dropout_draw(key.there != nullptr ? *key.there : key.scalars, key.layer, block);
    for (int64_t i = 4 * block; i < 4 * block + 4 && i < n; ++i) {
      y[i] = math::accumulated(beta, y[i], math::dropout(draw.word[i - 4 * block], p, scale, x[i]));
    }
  }
};

struct Lots {
  uint64_t seed;
  int64_t step, first;
  float* lots;
  __device__ void operator()(int64_t i) const { lots[i] = math::lot(seed, step, first + i); }
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

void chain(Stream stream, int64_t n, const float* g, float divisor, const float* x, float beta,
           float* y) {
  each(stream, n, Chain{g, divisor, x, beta, y});
}

void chain_sign(Stream stream, int64_t n, const float* g, const float* x, float beta, float* y) {
  each(stream, n, ChainSign{g, x, beta, y});
}

void dropout(Stream stream, int64_t n, float p, DropoutKey key, const float* x, float beta,
             float* y) {
  each(stream, (n + 3) / 4, Dropout{n, p, 1.0f / (1.0f - p), key, x, beta, y});
}

void draw_lots(Stream stream, int64_t n, uint64_t seed, int64_t step, int64_t first, float* lots) {
  each(stream, n, Lots{seed, step, first, lots});
}

}  // namespace expunge::kernels::cuda
