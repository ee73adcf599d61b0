#include "kernels/columns.cuh"
#include "kernels/each.cuh"
#include "kernels/reduce_math.h"

namespace expunge::kernels::cuda {
namespace {

// A sum a column, and what becomes of it.
template <class Done>
struct ColumnSums {
  using State = Partial<1>;
  static constexpr int kVector = 4;
  static constexpr bool kFinishesSmall = true;  // of losses; of the last layer's bias at 128 images
  int64_t C;
  Term term;
  const float *x, *y;
  Done done;

  template <int V>
  __device__ void take(int64_t begin, int64_t end, int64_t step, int64_t c,
                       State (&state)[V]) const {
    for (int64_t r = begin; r < end; r += step) {
      const Floats<V> a = load<V>(x + r * C + c), b = y != nullptr ? load<V>(y + r * C + c) : a;
      for (int v = 0; v < V; ++v) state[v].v[0] += math::term(term, a.v[v], b.v[v]);
    }
  }
  __device__ static void merge(State& into, const State& other) { add(into, other); }
  __device__ void finish(int64_t c, const State& state) const { done(c, state.v[0]); }
};

struct Whole {
  double* out;
  __device__ void operator()(int64_t c, double sum) const { out[c] = sum; }
};

struct Divided {
  double divisor;
  float* out;
  __device__ void operator()(int64_t c, double sum) const {
    out[c] = static_cast<float>(sum / divisor);
  }
};

struct Added {
  float beta;
  float* out;
  __device__ void operator()(int64_t c, double sum) const {
    out[c] = math::added(sum, beta, out[c]);
  }
};

struct AddSums {
  const double* sums;
  float beta;
  float* out;
  __device__ void operator()(int64_t i) const { out[i] = math::added(sums[i], beta, out[i]); }
};

template <class Done>
void sum_columns(const StreamAt& stream, int64_t rows, int64_t C, Term term, const float* x,
                 const float* y, const Done& done, void* workspace) {
  reduce_columns(stream, ColumnGrid(rows, C), ColumnSums<Done>{C, term, x, y, done}, workspace);
}

}  // namespace

size_t sum_workspace(int64_t rows, int64_t columns) {
  return columns_workspace<ColumnSums<Whole>>(ColumnGrid(rows, columns));
}

void sum(Stream stream, Term term, int64_t n, const float* x, const float* y, double* out,
         void* workspace) {
  sum_columns(stream, n, 1, term, x, y, Whole{out}, workspace);
}

void sum_to(Stream stream, Term term, int64_t n, const float* x, double divisor, float* out,
            void* workspace) {
  sum_columns(stream, n, 1, term, x, nullptr, Divided{divisor, out}, workspace);
}

void sum_rows(Stream stream, int64_t rows, int64_t columns, const float* x, float beta, float* out,
              void* workspace) {
  sum_columns(stream, rows, columns, Term::value, x, nullptr, Added{beta, out}, workspace);
}

void add_sums(Stream stream, int64_t n, const double* sums, float beta, float* out) {
  each(stream, n, AddSums{sums, beta, out});
}

}  // namespace expunge::kernels::cuda
