#include "kernels/columns.cuh"
#include "kernels/each.cuh"
#include "kernels/moments.h"
#include "kernels/moments_math.h"
#include "kernels/slice_moments.h"

namespace expunge::kernels::cuda {
namespace {

struct TakeIn {
  StatisticsRule rule;
  const float* g;
  StatisticsState s;
  MomentsOut out;
  const float* losses;
  __device__ void operator()(int64_t i) const {
    if (math::takes_step(losses, kStepLosses)) math::take_in(rule, g, s, out, i);
  }
};

struct PriorVariance {
  using State = Partial<1>;
  static constexpr int kVector = 4;
  static constexpr bool kFinishesSmall = false;
  int64_t n;
  const float *mean, *squared_error;
  float* out;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    for (int64_t i = begin; i < end; i += step)
      for (int v = 0; v < V; ++v)
        state[v].v[0] += math::prior_term(mean[i + c + v], squared_error[i + c + v]);
  }
  __device__ static void merge(State& into, const State& other) { add(into, other); }
  __device__ void finish(int64_t, const State& sum) const {
    out[0] = math::prior_variance(sum.v[0], n);
  }
};

struct SliceMoments {
  math::SliceRules rules;
  const float* c;
  int64_t stride;
  float *sum, *squared_error;

  template <int V>
  __device__ void at(int64_t i) const {
    Floats<V> part[kSlicesTogether], own_sum{}, own_error{};
#pragma unroll
    for (int j = 0; j < kSlicesTogether; ++j)
      if (j < rules.count) part[j] = load<V>(c + j * stride + i);
    if (!rules.from_start()) own_sum = load<V>(sum + i), own_error = load<V>(squared_error + i);
#pragma unroll
    for (int j = 0; j < kSlicesTogether; ++j)
      for (int v = 0; v < V && j < rules.count; ++v)
        math::slice_moments(rules.of[j], part[j].v[v], own_sum.v[v], own_error.v[v]);
    store(sum + i, own_sum), store(squared_error + i, own_error);
  }
};

struct ProductError {
  RowProduct p;
  const float* mean;
  float* squared_error;
  __device__ void operator()(int64_t i) const {
    const int64_t o = i / p.in, c = i % p.in;
    double squares = 0;
    for (int64_t r = 0; r < p.rows; ++r)
      squares += math::squared_product(p.dy[r * p.out + o], p.x == nullptr ? 1 : p.x[r * p.in + c]);
    squared_error[i] = math::product_error(squares, mean[i], p.rows);
  }
};

}  // namespace

void take_in(Stream stream, int64_t n, const StatisticsRule& rule, const float* g,
             const StatisticsState& state, const MomentsOut& out, const float* losses) {
  each(stream, n, TakeIn{rule, g, state, out, losses});
}

size_t prior_workspace(int64_t n) {
  return columns_workspace<PriorVariance>(ColumnGrid(n, 1));
}

void prior_variance(Stream stream, int64_t n, const float* mean, const float* squared_error,
                    float* out, void* workspace) {
  reduce_columns(stream, ColumnGrid(n, 1), PriorVariance{n, mean, squared_error, out}, workspace);
}

void slice_moments(Stream stream, int64_t n, const math::SliceRules& rules, const float* c,
                   int64_t stride, float* sum, float* squared_error) {
  constexpr int V = kVector<float>;
  const SliceMoments body{rules, c, stride, sum, squared_error};
  if (stride % V == 0 && on_vectors({c, sum, squared_error}))
    each_vector<V>(stream, n, body);
  else
    each_vector<1>(stream, n, body);
}

void product_error(Stream stream, const RowProduct& product, const float* mean,
                   float* squared_error) {
  each(stream, product.out * product.in, ProductError{product, mean, squared_error});
}

}  // namespace expunge::kernels::cuda
