#include "kernels/batch_norm_math.h"
#include "kernels/columns.cuh"
#include "kernels/each.cuh"

namespace expunge::kernels::cuda {
namespace {

// Count, mean and sum of squared deviations. Threads read some rows, take their mean, then the
// deviations from it, as the CPU does with its chunks.
struct Statistics {
  using State = Partial<3>;
  int64_t C;
  const float* x;
  float eps;
  RunningStatistics running;
  float *mean, *invstd;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    constexpr int kRows = 8;
    for (int64_t p = begin; p < end; p += kRows * step) {
      Floats<V> row[kRows];
      int n = 0;
      for (int64_t q = p; n < kRows && q < end; q += step) row[n++] = load<V>(x + q * C + c);
      for (int v = 0; v < V; ++v) {
        float sum = 0, left = 0, squares = 0;
        for (int k = 0; k < n; ++k) sum += row[k].v[v];
        const float centre = sum / static_cast<float>(n);
        for (int k = 0; k < n; ++k) {
          const float d = row[k].v[v] - centre;
          left += d, squares += d * d;  // the centre is rounded: `left` is what is left
        }
        merge(state[v], {static_cast<double>(n), double{centre} + double{left} / n,
                         double{squares} - double{left} * double{left} / n});
      }
    }
  }
  __device__ static void merge(State& into, const State& other) {
    math::ChannelMoments m{into.v[0], into.v[1], into.v[2]};
    math::merge(m, {other.v[0], other.v[1], other.v[2]});
    into = {m.count, m.mean, m.m2};
  }
  __device__ void finish(int64_t c, const State& s) const {
    math::batch_statistics({s.v[0], s.v[1], s.v[2]}, c, eps, running, mean, invstd);
  }
};

// sum g and sum g (x - mean)
struct Sums {
  using State = Partial<2>;
  int64_t C;
  bool relu;
  const float *x, *y, *dy, *mean, *invstd;
  double *sum_g, *sum_gx;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    float g_sum[V] = {}, gx_sum[V] = {};
#pragma unroll 2  // by 4 registers spill on compute capability 8.0
    for (int64_t p = begin; p < end; p += step) {
      const Floats<V> in = load<V>(x + p * C + c), out = load<V>(y + p * C + c),
                      d = load<V>(dy + p * C + c);
      for (int v = 0; v < V; ++v) {
        const float g = math::masked(relu, d.v[v], out.v[v]);
        g_sum[v] += g, gx_sum[v] += g * (in.v[v] - mean[c + v]);
      }
    }
    for (int v = 0; v < V; ++v) state[v] = {double{g_sum[v]}, double{gx_sum[v]}};
  }
  __device__ static void merge(State& into, const State& other) {
    add(into, other);
  }
  __device__ void finish(int64_t c, const State& s) const {
    sum_g[c] = s.v[0], sum_gx[c] = s.v[1] * double{invstd[c]};
  }
};

struct Invstd {
  const float* var;
  float eps;
  float* invstd;
  __device__ void operator()(int64_t c) const { invstd[c] = math::norm_invstd(var[c], eps); }
};

// V neighbouring channels of a pixel.
template <int V>
struct Apply {
  unsigned groups;  // C / V
  bool relu;
  const float *x, *mean, *invstd, *gamma, *beta, *residual;
  float* y;
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups);
    Floats<V> out = load<V>(x + V * i), more{};
    if (residual != nullptr) more = load<V>(residual + V * i);
    for (int v = 0; v < V; ++v) {
      const math::NormLine line =
          math::norm_line(mean[c + v], invstd[c + v], gamma[c + v], beta[c + v]);
      out.v[v] = line.a * out.v[v] + line.b;
      if (residual != nullptr) out.v[v] += more.v[v];
      out.v[v] = math::rectified(relu, out.v[v]);
    }
    store(y + V * i, out);
  }
};

struct Slopes {
  BatchNormBackward t;
  int64_t pixels, C;
  float* slopes;  // ({a, b, k}, C)
  __device__ void operator()(int64_t c) const {
    const math::NormSlope dx = math::norm_slope(t, pixels, c);
    slopes[c] = dx.a, slopes[C + c] = dx.b, slopes[2 * C + c] = dx.k;
  }
};

template <int V>
struct Backward {
  unsigned groups;
  bool relu;
  BatchNormBackward t;
  const float* slopes;
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups), C = int64_t{V} * groups;
    const Floats<V> y = load<V>(t.y + V * i);
    Floats<V> g = load<V>(t.dy + V * i);
    for (int v = 0; v < V; ++v) g.v[v] = math::masked(relu, g.v[v], y.v[v]);
    if (t.dresidual != nullptr) accumulate(t.beta_residual, t.dresidual + V * i, g);
    if (t.dx == nullptr) return;
    const Floats<V> x = load<V>(t.x + V * i);
    Floats<V> d;
    for (int v = 0; v < V; ++v)
      d.v[v] = slopes[c + v] * g.v[v] + slopes[C + c + v] * x.v[v] + slopes[2 * C + c + v];
    accumulate(t.beta_dx, t.dx + V * i, d);
  }
};

// body<V> for each group of V channels of each pixel
template <template <int> class Body, class... A>
void each_group(Stream stream, const BatchNormShape& s, const A&... arguments) {
  const auto C = static_cast<unsigned>(s.C);
  if (C % 4 == 0)
    each(stream, s.pixels * s.C / 4, Body<4>{C / 4, s.relu, arguments...});
  else
    each(stream, s.pixels * s.C, Body<1>{C, s.relu, arguments...});
}

}  // namespace

size_t statistics_workspace(const BatchNormShape& s) {
  return columns_workspace<Statistics>(ColumnGrid(s.pixels, s.C));
}

size_t sums_workspace(const BatchNormShape& s, int64_t pixels) {
  return columns_workspace<Sums>(ColumnGrid(pixels, s.C));
}

void batch_norm_statistics(Stream stream, const BatchNormShape& s, const float* x, float eps,
                           const RunningStatistics& running, float* mean, float* invstd,
                           void* workspace) {
  reduce_columns(stream, ColumnGrid(s.pixels, s.C), Statistics{s.C, x, eps, running, mean, invstd},
                 workspace);
}

void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd) {
  each(stream, C, Invstd{var, eps, invstd});
}

void batch_norm_apply(Stream stream, const BatchNormShape& s, const float* x, const float* mean,
                      const float* invstd, const float* gamma, const float* beta,
                      const float* residual, float* y) {
  each_group<Apply>(stream, s, x, mean, invstd, gamma, beta, residual, y);
}

void batch_norm_sums(Stream stream, const BatchNormShape& s, int64_t p0, int64_t p1, const float* x,
                     const float* y, const float* dy, const float* mean, const float* invstd,
                     double* sum_g, double* sum_gx, void* workspace) {
  const int64_t from = p0 * s.C;
  reduce_columns(stream, ColumnGrid(p1 - p0, s.C),
                 Sums{s.C, s.relu, x + from, y + from, dy + from, mean, invstd, sum_g, sum_gx},
                 workspace);
}

void batch_norm_backward(Stream stream, const BatchNormShape& s, const BatchNormBackward& t,
                         float* slopes) {
  each(stream, s.C, Slopes{t, s.pixels, s.C, slopes});
  each_group<Backward>(stream, s, t, static_cast<const float*>(slopes));
}

}  // namespace expunge::kernels::cuda
