#include "kernels/elementwise.h"

#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/elementwise_math.h"

namespace expunge::kernels {

template <class F>
void elementwise(Stream, int64_t n, const float* x, float* y) {
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = F::f(x[i]);
  });
}

template <class F>
void elementwise_backward(Stream, int64_t n, const float* x, const float* y, const float* dy,
                          float beta, float* dx) {
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    if (beta == 0.0f)  // dx may hold anything, NaN included
      for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * F::df(x[i], y[i]);
    else
      for (int64_t i = begin; i < end; ++i) dx[i] = beta * dx[i] + dy[i] * F::df(x[i], y[i]);
  });
}

#define INSTANTIATE(F)                                                                     \
  template void elementwise<math::F>(Stream, int64_t, const float*, float*);               \
  template void elementwise_backward<math::F>(Stream, int64_t, const float*, const float*, \
                                              const float*, float, float*);
EXPUNGE_FOR_EACH_ELEMENTWISE(INSTANTIATE)

void add(Stream, int64_t n, const float* a, const float* b, float* y) {
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
  });
}

void axpby(Stream, int64_t n, float alpha, const float* x, float beta, float* y) {
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    if (beta == 0.0f)
      for (int64_t i = begin; i < end; ++i) y[i] = alpha * x[i];
    else
      for (int64_t i = begin; i < end; ++i) y[i] = beta * y[i] + alpha * x[i];
  });
}

void dropout(Stream, int64_t n, float p, DropoutKey key, const float* x, float beta, float* y) {
  const float scale = 1.0f / (1.0f - p);
  parallel_ranges((n + 3) / 4, [=](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const rng::Draw draw =
          rng::philox(key.seed, rng::Purpose::dropout,
                      {{static_cast<uint32_t>(block), static_cast<uint32_t>(key.layer),
                        static_cast<uint32_t>(key.pass), static_cast<uint32_t>(key.step)}});
      for (int64_t i = 4 * block; i < 4 * block + 4 && i < n; ++i) {
        const float kept = rng::uniform(draw.word[i - 4 * block]) >= p ? x[i] * scale : 0.0f;
        y[i] = beta == 0.0f ? kept : beta * y[i] + kept;
      }
    }
  });
}

}  // namespace expunge::kernels
