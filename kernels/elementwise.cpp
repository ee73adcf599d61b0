#include "kernels/elementwise.h"

#include "core/parallel.h"
#include "kernels/elementwise_math.h"

namespace expunge::kernels {

template <class F>
void elementwise(Stream stream, int64_t n, const float* x, float* y) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = F::f(x[i]);
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::elementwise<F>(stream, n, x, y); });
}

template <class F>
void elementwise_backward(Stream stream, int64_t n, const float* x, const float* y, const float* dy,
                          float beta, float* dx) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      if (beta == 0.0f)  // dx may hold anything, NaN included
        for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * F::df(x[i], y[i]);
      else
        for (int64_t i = begin; i < end; ++i) dx[i] = beta * dx[i] + dy[i] * F::df(x[i], y[i]);
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::elementwise_backward<F>(stream, n, x, y, dy, beta, dx); });
}

#define INSTANTIATE(F)                                                                     \
  template void elementwise<math::F>(Stream, int64_t, const float*, float*);               \
  template void elementwise_backward<math::F>(Stream, int64_t, const float*, const float*, \
                                              const float*, float, float*);
EXPUNGE_FOR_EACH_ELEMENTWISE(INSTANTIATE)

void add(Stream stream, int64_t n, const float* a, const float* b, float* y) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::add(stream, n, a, b, y); });
}

void axpby(Stream stream, int64_t n, float alpha, const float* x, float beta, float* y) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      if (beta == 0.0f)
        for (int64_t i = begin; i < end; ++i) y[i] = alpha * x[i];
      else
        for (int64_t i = begin; i < end; ++i) y[i] = beta * y[i] + alpha * x[i];
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::axpby(stream, n, alpha, x, beta, y); });
}

void chain(Stream stream, int64_t n, const float* g, float divisor, const float* x, float beta,
           float* y) {
  dispatch(
      stream, [&] { axpby(stream, n, g[0] / divisor, x, beta, y); },
      [&] { cuda::chain(stream, n, g, divisor, x, beta, y); });
}

void chain_sign(Stream stream, int64_t n, const float* g, const float* x, float beta, float* y) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        y[i] = math::accumulated(beta, y[i], g[0] * math::sign(x[i]));
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::chain_sign(stream, n, g, x, beta, y); });
}

void dropout(Stream stream, int64_t n, float p, DropoutKey key, const float* x, float beta,
             float* y) {
  const float scale = 1.0f / (1.0f - p);
  const auto on_cpu = [=] {
    parallel_ranges((n + 3) / 4, [=](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const rng::Draw draw = math::dropout_draw(key.scalars, key.layer, block);
        for (int64_t i = 4 * block; i < 4 * block + 4 && i < n; ++i) {
          const float kept = math::dropout(draw.word[i - 4 * block], p, scale, x[i]);
          y[i] = beta == 0.0f ? kept : beta * y[i] + kept;
        }
      }
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::dropout(stream, n, p, key, x, beta, y); });
}

void draw_lots(Stream stream, int64_t n, uint64_t seed, int64_t step, int64_t first, float* lots) {
  const auto on_cpu = [=] {
    parallel_ranges(n, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) lots[i] = math::lot(seed, step, first + i);
    });
  };
  dispatch(stream, on_cpu, [=] { cuda::draw_lots(stream, n, seed, step, first, lots); });
}

}  // namespace expunge::kernels
