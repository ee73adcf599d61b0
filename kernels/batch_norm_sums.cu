#include "kernels/batch_norm.cuh"
#include "kernels/columns.cuh"

// What batch norm needs to know of all rows: statistics of a batch, sums of a gradient.
namespace expunge::kernels {
namespace {

// Sums of deviations, and of their squares, from a centre near the mean: nothing cancels where the
// mean is large. It is the same for all rows, so parts need only be added.
template <class T>
struct Statistics {
  using State = Partial<2>;
  static constexpr int kVector = kernels::kVector<T>;
  static constexpr bool kFinishesSmall = false;
  static constexpr int kSamples = 8;
  BatchNormStatistics t;
  const T* x;
  int64_t sample[kSamples];  // where these rows begin: from all over the batch and its images

  explicit Statistics(const BatchNormStatistics& of) : t(of), x(of.x.as<T>()), sample{} {
    constexpr int64_t kPrime = 7919;  // else all would be corners, which padding makes different
    const auto [pixels, C, relu] = of.shape;
    for (int64_t k = 0; k < kSamples && pixels > 0; ++k)
      sample[k] = (pixels * k / kSamples + kPrime * (k + 1)) % pixels * C;
  }
  Statistics() = default;

  // The mean of the sampled rows.
  template <int V>
  __device__ Floats<V> centre(int64_t c) const {
    Packed<V, T> row[kSamples];
#pragma unroll
    for (int k = 0; k < kSamples; ++k) row[k] = load_packed<V>(x + sample[k] + c);
    Floats<V> mean{};
#pragma unroll
    for (int k = 0; k < kSamples; ++k) {
      const Floats<V> of = floats_of(row[k]);
      for (int v = 0; v < V; ++v) mean.v[v] += of.v[v];
    }
    for (int v = 0; v < V; ++v) mean.v[v] *= 1.0f / kSamples;
    return mean;
  }
  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    const Floats<V> middle = centre<V>(c);
    Floats<V> sum{}, squares{};
    const auto add_row = [&](const Packed<V, T>& row) {
      const Floats<V> of = floats_of(row);
      for (int v = 0; v < V; ++v) {
        const float d = of.v[v] - middle.v[v];
        sum.v[v] += d, squares.v[v] += d * d;
      }
    };
    const int64_t C = t.shape.C;
    constexpr int kAtOnce = 4;
    int64_t p = begin;
    for (; p + (kAtOnce - 1) * step < end; p += kAtOnce * step) {
      Packed<V, T> row[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) row[k] = load_packed<V>(x + (p + k * step) * C + c);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) add_row(row[k]);
    }
#pragma unroll 1
    for (; p < end; p += step) add_row(load_packed<V>(x + p * C + c));
    for (int v = 0; v < V; ++v) state[v] = {double{sum.v[v]}, double{squares.v[v]}};
  }
  __device__ static void merge(State& into, const State& other) {
    add(into, other);
  }
  __device__ void finish(int64_t c, const State& s) const {
    math::ChannelMoments all{};
    if (t.shape.pixels > 0) {
      const double n = static_cast<double>(t.shape.pixels), left = s.v[0] / n;
      all = {n, double{centre<1>(c).v[0]} + left, s.v[1] - s.v[0] * left};
    }
    math::batch_statistics(all, c, t);
  }
};

// sum g and sum g (x - mean); then done(c, {sum g, sum g xhat})
template <class Rows, class Done>
struct Sums {
  using State = Partial<2>;
  static constexpr int kVector = kernels::kVector<typename Rows::Element>;
  static constexpr bool kFinishesSmall = false;
  Rows rows;
  const float* invstd;
  Done done;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    Floats<V> g_sum{}, gx_sum{};
    const Floats<V> centre = load_channels<V>(rows.mean + c);
    const Lines<V> lines{rows.template line_part<V>(c, 0), rows.template line_part<V>(c, 1)};
    const auto add_row = [&](const typename Rows::template Row<V>& row) {
      rows.with(row, lines, [&](const Floats<V>& in, const Floats<V>& g) {
        for (int v = 0; v < V; ++v)
          g_sum.v[v] += g.v[v], gx_sum.v[v] += g.v[v] * (in.v[v] - centre.v[v]);
      });
    };
    constexpr int kAtOnce = Rows::kAtOnce;
    int64_t p = begin;
    for (; p + (kAtOnce - 1) * step < end; p += kAtOnce * step) {
      typename Rows::template Row<V> row[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) row[k] = rows.template row<V>(p + k * step, c);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) add_row(row[k]);
    }
    if (kAtOnce > 1 && p < end) add_row(rows.template row<V>(p, c));
    for (int v = 0; v < V; ++v) state[v] = {double{g_sum.v[v]}, double{gx_sum.v[v]}};
  }
  __device__ static void merge(State& into, const State& other) {
    add(into, other);
  }
  __device__ void finish(int64_t c, const State& s) const {
    done(c, math::NormSums{s.v[0], s.v[1] * double{invstd[c]}});
  }
};

// The sums are what is asked for.
struct Kept {
  double *sum_g, *sum_gx;
  __device__ void operator()(int64_t c, const math::NormSums& sums) const {
    sum_g[c] = sums.g, sum_gx[c] = sums.gx;
  }
};

// The gradients of gamma and beta, and the slopes of dx.
struct Slopes {
  BatchNormBackward t;
  float* slopes;  // ({a, b, k}, C)
  __device__ void operator()(int64_t c, const math::NormSums& sums) const {
    const math::NormSlope dx = math::norm_slope(t, c, sums);
    const int64_t C = t.in.shape.C;
    slopes[c] = dx.a, slopes[C + c] = dx.b, slopes[2 * C + c] = dx.k;
    math::norm_parameters(t, c, sums);
  }
};

// Columns of (rows, C), as many at once as an access of the type moves.
ColumnGrid grid_of(DType type, int64_t rows, int64_t C,
                   int64_t rows_of_thread = ColumnGrid::kRowsOfThread) {
  return ColumnGrid(rows, C, kAccess / static_cast<int>(size_of(type)), rows_of_thread);
}
ColumnGrid grid_of(const BatchNormStatistics& t) {
  return grid_of(t.x.type, t.shape.pixels, t.shape.C);
}
// Of a gradient: rows of pixels, or of windows, each as much to read as four of those.
ColumnGrid grid_of(const BatchNormGradient& t) {
  const int64_t rows = t.pool.outputs(t.shape.pixels), C = t.shape.C;
  if (!t.pool.on()) return grid_of(t.x.type, rows, C);
  return grid_of(t.x.type, rows, C, ColumnGrid::kRowsOfThread / kNormWindow);
}

// done_of(k): what is done with the sums of batch k
template <class Batch, class DoneOf>
void sum_gradients(const StreamAt& stream, const Batches<Batch>& of, DoneOf done_of,
                   void* workspace) {
  const auto sum_rows = [&]<class Rows>(Rows) {
    ColumnSet<Sums<Rows, decltype(done_of(size_t{}))>, kMostBatches> set;
    for (size_t k = 0; k < of.size(); ++k)
      set.add(grid_of(of[k].in), {Rows(of[k].in), of[k].in.invstd, done_of(k)});
    set.reduce(stream, workspace);
  };
  of_type(of[0].in.x.type, [&]<class T>(T) {
    of[0].in.pool.on() ? sum_rows(GradientWindows<T>()) : sum_rows(GradientRows<T>());
  });
}

template <class Batch>
size_t sums_bytes(const Batches<Batch>& of) {
  size_t bytes = 0;
  for (const Batch& b : of)
    bytes += columns_workspace<Sums<GradientRows<float>, Kept>>(grid_of(b.in));
  return bytes;
}

}  // namespace

void find_slopes(const StreamAt& stream, const Batches<BatchNormBackward>& of, float* slopes,
                 void* workspace) {
  const auto slopes_of = [&](size_t k) {
    return Slopes{of[k], slopes + static_cast<int64_t>(k) * kSlopes * of[k].in.shape.C};
  };
  sum_gradients(stream, of, slopes_of, workspace);
}

namespace cuda {

size_t statistics_workspace(const Batches<BatchNormStatistics>& of) {
  size_t bytes = 0;
  for (const BatchNormStatistics& b : of) bytes += columns_workspace<Statistics<float>>(grid_of(b));
  return bytes;
}

size_t sums_workspace(const Batches<BatchNormSums>& of) {
  return sums_bytes(of);
}

size_t backward_workspace(const Batches<BatchNormBackward>& of) {
  return slopes_bytes(of) + sums_bytes(of);
}

void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of, void* workspace) {
  const StreamAt at = stream;
  of_type(of[0].x.type, [&]<class T>(T) {
    ColumnSet<Statistics<T>, kMostBatches> set;
    for (const BatchNormStatistics& b : of) set.add(grid_of(b), Statistics<T>(b));
    set.reduce(at, workspace);
  });
}

void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of, void* workspace) {
  sum_gradients(
      stream, of,
      [&](size_t k) {
        return Kept{of[k].sum_g, of[k].sum_gx};
      },
      workspace);
}

}  // namespace cuda

}  // namespace expunge::kernels
