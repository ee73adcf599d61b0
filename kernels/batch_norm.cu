#include "kernels/batch_norm_math.h"
#include "kernels/columns.cuh"
#include "kernels/each.cuh"

namespace expunge::kernels::cuda {
namespace {

// Count, mean and sum of squared deviations. A thread takes deviations from the mean of its first
// rows, which is near that of all of them: no cancellation where the mean is large.
template <class T>
struct Statistics {
  using State = Partial<3>;
  static constexpr int kVector = kernels::kVector<T>;
  int64_t C;
  const T* x;
  float eps;
  RunningStatistics running;
  float *mean, *invstd;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    constexpr int kFirst = 4;
    Floats<V> centre{}, sum{}, squares{};
    float first = 0;
    for (int64_t p = begin; p < end && p < begin + kFirst * step; p += step, ++first) {
      const Floats<V> row = load<V>(x + p * C + c);
      for (int v = 0; v < V; ++v) centre.v[v] += row.v[v];
    }
    for (int v = 0; v < V; ++v) centre.v[v] /= first;
    double n = 0;
#pragma unroll 4
    for (int64_t p = begin; p < end; p += step, ++n) {
      const Floats<V> row = load<V>(x + p * C + c);
      for (int v = 0; v < V; ++v) {
        const float d = row.v[v] - centre.v[v];
        sum.v[v] += d, squares.v[v] += d * d;
      }
    }
    if (n == 0) return;
    for (int v = 0; v < V; ++v) {
      const double left = double{sum.v[v]} / n;
      state[v] = {n, double{centre.v[v]} + left, double{squares.v[v]} - double{sum.v[v]} * left};
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
template <class T>
struct Sums {
  using State = Partial<2>;
  static constexpr int kVector = kernels::kVector<T>;
  int64_t C;
  bool relu;
  const T *x, *y, *dy;
  const float *mean, *invstd;
  double *sum_g, *sum_gx;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    Floats<V> g_sum{}, gx_sum{};
    const Floats<V> centre = load_channels<V>(mean + c);
#pragma unroll 2  // by 4 registers spill on compute capability 8.0
    for (int64_t p = begin; p < end; p += step) {
      const Floats<V> in = load<V>(x + p * C + c), out = load<V>(y + p * C + c),
                      d = load<V>(dy + p * C + c);
      for (int v = 0; v < V; ++v) {
        const float g = math::masked(relu, d.v[v], out.v[v]);
        g_sum.v[v] += g, gx_sum.v[v] += g * (in.v[v] - centre.v[v]);
      }
    }
    for (int v = 0; v < V; ++v) state[v] = {double{g_sum.v[v]}, double{gx_sum.v[v]}};
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
template <int V, class T>
struct Apply {
  unsigned groups;  // C / V
  bool relu;
  const T* x;
  NormParameters parameters;
  const T* residual;
  T* y;
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups);
    Floats<V> out = load<V>(x + V * i), more{};
    if (residual != nullptr) more = load<V>(residual + V * i);
    const NormParameters& p = parameters;
    const Floats<V> m = load_channels<V>(p.mean + c), r = load_channels<V>(p.invstd + c),
                    g = load_channels<V>(p.gamma + c), b = load_channels<V>(p.beta + c);
    for (int v = 0; v < V; ++v) {
      const math::NormLine line = math::norm_line(m.v[v], r.v[v], g.v[v], b.v[v]);
      out.v[v] = line.a * out.v[v] + line.b;
      if (residual != nullptr) out.v[v] += more.v[v];
      out.v[v] = math::rectified(relu, out.v[v]);
    }
    store(y + V * i, out);
  }
};

// Of a channel: the slopes of dx, and the gradients of gamma and beta where they are wanted.
struct Slopes {
  BatchNormBackward t;
  int64_t pixels, C;
  float* slopes;  // ({a, b, k}, C)
  __device__ void operator()(int64_t c) const {
    const math::NormSlope dx = math::norm_slope(t, pixels, c);
    slopes[c] = dx.a, slopes[C + c] = dx.b, slopes[2 * C + c] = dx.k;
    math::norm_parameters(t, c);
  }
};

template <int V, class T>
struct Backward {
  unsigned groups;
  bool relu;
  const T *x, *y, *dy;
  float beta_dx;
  T* dx;
  float beta_residual;
  T* dresidual;
  const float* slopes;
  __device__ void operator()(int64_t i) const {
    const int64_t c = channel<V>(i, groups), C = int64_t{V} * groups;
    const Floats<V> out = load<V>(y + V * i);
    Floats<V> g = load<V>(dy + V * i);
    for (int v = 0; v < V; ++v) g.v[v] = math::masked(relu, g.v[v], out.v[v]);
    if (dresidual != nullptr) accumulate(beta_residual, dresidual + V * i, g);
    if (dx == nullptr) return;
    const Floats<V> in = load<V>(x + V * i), a = load_channels<V>(slopes + c),
                    b = load_channels<V>(slopes + C + c), k = load_channels<V>(slopes + 2 * C + c);
    Floats<V> d;
    for (int v = 0; v < V; ++v) d.v[v] = a.v[v] * g.v[v] + b.v[v] * in.v[v] + k.v[v];
    accumulate(beta_dx, dx + V * i, d);
  }
};

// body<V, T> for each group of V channels of each pixel
template <template <int, class> class Body, class T, class... A>
void each_group(const StreamAt& stream, const BatchNormShape& s, const A&... arguments) {
  constexpr int V = kVector<T>;
  const auto C = static_cast<unsigned>(s.C);
  if (C % V == 0)
    each(stream, s.pixels * s.C / V, Body<V, T>{C / V, s.relu, arguments...});
  else
    each(stream, s.pixels * s.C, Body<1, T>{C, s.relu, arguments...});
}

// Columns of (rows, C), as many at once as an access of the type moves.
ColumnGrid grid_of(DType type, int64_t rows, int64_t C) {
  return ColumnGrid(rows, C, kAccess / static_cast<int>(size_of(type)));
}

}  // namespace

size_t statistics_workspace(const BatchNormShape& s, DType type) {
  return columns_workspace<Statistics<float>>(grid_of(type, s.pixels, s.C));
}

size_t sums_workspace(const BatchNormShape& s, DType type, int64_t pixels) {
  return columns_workspace<Sums<float>>(grid_of(type, pixels, s.C));
}

void batch_norm_statistics(Stream stream, const BatchNormShape& s, ConstValues x, float eps,
                           const RunningStatistics& running, float* mean, float* invstd,
                           void* workspace) {
  const StreamAt at = stream;
  of_type(x.type, [&]<class T>(T) {
    reduce_columns(at, grid_of(x.type, s.pixels, s.C),
                   Statistics<T>{s.C, x.as<T>(), eps, running, mean, invstd}, workspace);
  });
}

void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd) {
  each(stream, C, Invstd{var, eps, invstd});
}

void batch_norm_apply(Stream stream, const BatchNormShape& s, ConstValues x,
                      const NormParameters& parameters, ConstValues residual, Values y) {
  const StreamAt at = stream;
  of_type(x.type, [&]<class T>(T) {
    each_group<Apply, T>(at, s, x.as<T>(), parameters, residual.as<T>(), y.as<T>());
  });
}

void batch_norm_sums(Stream stream, const BatchNormShape& s, int64_t p0, int64_t p1, ConstValues x,
                     ConstValues y, ConstValues dy, const float* mean, const float* invstd,
                     double* sum_g, double* sum_gx, void* workspace) {
  const int64_t from = p0 * s.C;
  const StreamAt at = stream;
  of_type(x.type, [&]<class T>(T) {
    reduce_columns(at, grid_of(x.type, p1 - p0, s.C),
                   Sums<T>{s.C, s.relu, x.as<T>() + from, y.as<T>() + from, dy.as<T>() + from, mean,
                           invstd, sum_g, sum_gx},
                   workspace);
  });
}

void batch_norm_backward(Stream stream, const BatchNormShape& s, const BatchNormBackward& t,
                         float* slopes) {
  each(stream, s.C, Slopes{t, s.pixels, s.C, slopes});
  const StreamAt at = stream;
  of_type(t.x.type, [&]<class T>(T) {
    each_group<Backward, T>(at, s, t.x.as<T>(), t.y.as<T>(), t.dy.as<T>(), t.beta_dx, t.dx.as<T>(),
                            t.beta_residual, t.dresidual.as<T>(),
                            static_cast<const float*>(slopes));
  });
}

}  // namespace expunge::kernels::cuda
