#include "kernels/reduce.h"

#include <algorithm>
#include <cmath>

#include "core/tensor.h"

namespace expunge::kernels {
namespace {

constexpr int kLanes =
    8;  // independent partial sums, so that the loop vectorises with a fixed order

template <class Term>
double reduce(int64_t n, Term term) {
  const int64_t chunks = (n + kElementChunk - 1) / kElementChunk;
  const Tensor partial(Shape{2 * std::max<int64_t>(1, chunks)});
  double* part = static_cast<double*>(partial.bytes());
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    double lane[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (int l = 0; l < kLanes; ++l) lane[l] += term(i + l);
    for (; i < end; ++i) lane[0] += term(i);
    double total = 0;
    for (double l : lane) total += l;
    part[begin / kElementChunk] = total;
  });
  double total = 0;
  for (int64_t c = 0; c < chunks; ++c) total += part[c];
  return total;
}

}  // namespace

double sum(Stream, int64_t n, const float* x) {
  return reduce(n, [=](int64_t i) { return static_cast<double>(x[i]); });
}

double sum_squares(Stream, int64_t n, const float* x) {
  return reduce(n,
                [=](int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
}

double sum_abs(Stream, int64_t n, const float* x) {
  return reduce(n, [=](int64_t i) { return std::abs(static_cast<double>(x[i])); });
}

double dot(Stream, int64_t n, const float* x, const float* y) {
  return reduce(n,
                [=](int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(y[i]); });
}

bool all_finite(Stream, int64_t n, const float* x) {
  return std::isfinite(reduce(n, [=](int64_t i) { return static_cast<double>(x[i]) * 0.0; }));
}

void sum_rows(Stream, int64_t rows, int64_t columns, const float* x, float beta, float* out) {
  constexpr int64_t kColumns = 64;
  parallel_for((columns + kColumns - 1) / kColumns, [=](int64_t chunk) {
    const int64_t c0 = chunk * kColumns, count = std::min(kColumns, columns - c0);
    double total[kColumns] = {};
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < count; ++c) total[c] += static_cast<double>(x[r * columns + c0 + c]);
    for (int64_t c = 0; c < count; ++c)
      out[c0 + c] =
          static_cast<float>((beta == 0.0f ? 0.0 : double{beta} * double{out[c0 + c]}) + total[c]);
  });
}

}  // namespace expunge::kernels
