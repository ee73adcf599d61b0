#include "kernels/long_sum.h"

#include "core/parallel.h"
#include "kernels/long_sum_math.h"

namespace expunge::kernels {
namespace {

// Without overlap, so that it becomes vector instructions.
template <class Term>
void add_range(int64_t n, Term term, const float* __restrict x, float* __restrict value,
               float* __restrict rest) {
  for (int64_t i = 0; i < n; ++i) math::add_term(term(x[i]), value[i], rest[i]);
}

template <class Term>
void add(int64_t n, Term term, const float* x, const LongSumsAt& sums) {
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    add_range(end - begin, term, x + begin, sums.value + begin, sums.rest + begin);
  });
}

}  // namespace

void add_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums) {
  dispatch(
      stream, [&] { add(n, math::ScaledTerm{scale}, x, sums); },
      [&] { cuda::add_to(stream, n, scale, x, sums); });
}

void add_squares_to(Stream stream, int64_t n, double scale, const float* x,
                    const LongSumsAt& sums) {
  dispatch(
      stream, [&] { add(n, math::SquareTerm{scale}, x, sums); },
      [&] { cuda::add_squares_to(stream, n, scale, x, sums); });
}

void add_scaled(Stream stream, int64_t n, double scale, const float* x, float* y) {
  const auto on_cpu = [&] {
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        y[i] = static_cast<float>(double{y[i]} + scale * double{x[i]});
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::add_scaled(stream, n, scale, x, y); });
}

}  // namespace expunge::kernels
