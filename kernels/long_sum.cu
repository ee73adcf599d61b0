#include "kernels/each.cuh"
#include "kernels/long_sum.h"
#include "kernels/long_sum_math.h"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

// V neighbours from V i on.
template <int V, class Term>
struct AddTo {
  Term term;
  const float* x;
  LongSumsAt sums;
  __device__ void operator()(int64_t i) const {
    const Floats<V> of = load<V>(x + V * i);
    Floats<V> value = load<V>(sums.value + V * i), rest = load<V>(sums.rest + V * i);
    for (int v = 0; v < V; ++v) math::add_term(term(of.v[v]), value.v[v], rest.v[v]);
    store(sums.value + V * i, value);
    store(sums.rest + V * i, rest);
  }
};

template <int V>
struct AddScaled {
  math::ScaledTerm term;
  const float* x;
  float* y;
  __device__ void operator()(int64_t i) const {
    const Floats<V> of = load<V>(x + V * i);
    Floats<V> sum = load<V>(y + V * i);
    for (int v = 0; v < V; ++v) sum.v[v] = static_cast<float>(double{sum.v[v]} + term(of.v[v]));
    store(y + V * i, sum);
  }
};

// Flat buffers begin and end at multiples of what is moved at once.
template <class Term>
void add(const StreamAt& stream, int64_t n, Term term, const float* x, const LongSumsAt& sums) {
  constexpr int V = kVector<float>;
  if (n % V == 0)
    each(stream, n / V, AddTo<V, Term>{term, x, sums});
  else
    each(stream, n, AddTo<1, Term>{term, x, sums});
}

}  // namespace

void add_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums) {
  add(stream, n, math::ScaledTerm{scale}, x, sums);
}

void add_squares_to(Stream stream, int64_t n, double scale, const float* x,
                    const LongSumsAt& sums) {
  add(stream, n, math::SquareTerm{scale}, x, sums);
}

void add_scaled(Stream stream, int64_t n, double scale, const float* x, float* y) {
  constexpr int V = kVector<float>;
  if (n % V == 0)
    each(stream, n / V, AddScaled<V>{{scale}, x, y});
  else
    each(stream, n, AddScaled<1>{{scale}, x, y});
}

}  // namespace expunge::kernels::cuda
