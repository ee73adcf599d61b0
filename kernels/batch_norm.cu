#include "kernels/batch_norm_math.h"
#include "kernels/beside.cuh"
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
  int64_t n;        // groups of all pixels
  unsigned groups;  // C / V
  bool relu;
  const T* x;
  NormParameters parameters;
  const T* residual;
  T* y;
  static Apply of(const BatchNormApply& b) {
    const auto groups = static_cast<unsigned>(b.shape.C / V);
    return {b.shape.pixels * groups, groups,     b.shape.relu, b.x.as<T>(), b.parameters,
            b.residual.as<T>(),      b.y.as<T>()};
  }
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
  int64_t n;  // C
  BatchNormBackward t;
  float* slopes;  // ({a, b, k}, C)
  __device__ void operator()(int64_t c) const {
    const math::NormSlope dx = math::norm_slope(t, c);
    slopes[c] = dx.a, slopes[n + c] = dx.b, slopes[2 * n + c] = dx.k;
    math::norm_parameters(t, c);
  }
};

template <int V, class T>
struct Backward {
  int64_t n;
  unsigned groups;
  bool relu;
  const T *x, *y, *dy;
  float beta_dx;
  T* dx;
  float beta_residual;
  T* dresidual;
  const float* slopes;
  static Backward of(const Slopes& from) {
    const BatchNormBackward& t = from.t;
    const auto groups = static_cast<unsigned>(t.shape.C / V);
    return {t.shape.pixels * groups,
            groups,
            t.shape.relu,
            t.x.as<T>(),
            t.y.as<T>(),
            t.dy.as<T>(),
            t.beta_dx,
            t.dx.as<T>(),
            t.beta_residual,
            t.dresidual.as<T>(),
            from.slopes};
  }
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

// Body<V, T> for each group of V channels of each pixel, side by side for all
template <template <int, class> class Body, class T, class Batch>
void each_group(const StreamAt& stream, int64_t C, std::span<const Batch> of) {
  const auto run = [&]<class Of>(Of) {
    EachBeside<Of> bodies;
    for (const Batch& batch : of) bodies.add(Of::of(batch));
    bodies.run(stream);
  };
  constexpr int V = kVector<T>;
  C % V == 0 ? run(Body<V, T>{}) : run(Body<1, T>{});
}

// Columns of (pixels, C), as many at once as an access of the type moves.
ColumnGrid grid_of(DType type, const BatchNormShape& s) {
  return ColumnGrid(s.pixels, s.C, kAccess / static_cast<int>(size_of(type)));
}

template <class Work, class Batch>
size_t workspace_of(const Batches<Batch>& of) {
  size_t bytes = 0;
  for (const Batch& b : of) bytes += columns_workspace<Work>(grid_of(b.x.type, b.shape));
  return bytes;
}

}  // namespace

size_t statistics_workspace(const Batches<BatchNormStatistics>& of) {
  return workspace_of<Statistics<float>>(of);
}

size_t sums_workspace(const Batches<BatchNormSums>& of) {
  return workspace_of<Sums<float>>(of);
}

void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of, void* workspace) {
  const StreamAt at = stream;
  of_type(of[0].x.type, [&]<class T>(T) {
    ColumnSet<Statistics<T>, kMostBatches> set;
    for (const BatchNormStatistics& b : of)
      set.add(grid_of(b.x.type, b.shape),
              {b.shape.C, b.x.as<T>(), b.eps, b.running, b.mean, b.invstd});
    set.reduce(at, workspace);
  });
}

void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd) {
  each(stream, C, Invstd{var, eps, invstd});
}

void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of) {
  const StreamAt at = stream;
  of_type(of[0].x.type, [&]<class T>(T) {
    each_group<Apply, T>(at, of[0].shape.C, std::span<const BatchNormApply>(of));
  });
}

void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of, void* workspace) {
  const StreamAt at = stream;
  of_type(of[0].x.type, [&]<class T>(T) {
    ColumnSet<Sums<T>, kMostBatches> set;
    for (const BatchNormSums& b : of)
      set.add(grid_of(b.x.type, b.shape), {b.shape.C, b.shape.relu, b.x.as<T>(), b.y.as<T>(),
                                           b.dy.as<T>(), b.mean, b.invstd, b.sum_g, b.sum_gx});
    set.reduce(at, workspace);
  });
}

void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of, float* slopes) {
  const StreamAt at = stream;
  const int64_t C = of[0].shape.C;
  Slopes all[kMostBatches]{};
  EachBeside<Slopes> each_channel;
  for (size_t k = 0; k < of.size(); ++k) {
    all[k] = {C, of[k], slopes + static_cast<int64_t>(k) * 3 * C};
    each_channel.add(all[k]);
  }
  each_channel.run(at);
  of_type(of[0].x.type, [&]<class T>(T) {
    each_group<Backward, T>(at, C, std::span<const Slopes>(all, of.size()));
  });
}

}  // namespace expunge::kernels::cuda
