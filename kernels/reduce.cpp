#include "kernels/reduce.h"

#include <algorithm>
#include <cmath>

#include "core/memory_cuda.h"
#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/reduce_math.h"

namespace expunge::kernels {
namespace {

constexpr int kLanes =
    8;  // independent partial sums, so that the loop vectorises with a fixed order

template <Term kTerm>
double chunked_sum(int64_t n, const float* x, const float* y) {
  const int64_t chunks = (n + kElementChunk - 1) / kElementChunk;
  const Tensor partial(Shape{2 * std::max<int64_t>(1, chunks)});
  double* part = static_cast<double*>(partial.bytes());
  parallel_ranges(n, [=](int64_t begin, int64_t end) {
    double lane[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (int l = 0; l < kLanes; ++l) lane[l] += math::term(kTerm, x[i + l], y[i + l]);
    for (; i < end; ++i) lane[0] += math::term(kTerm, x[i], y[i]);
    double total = 0;
    for (double l : lane) total += l;
    part[begin / kElementChunk] = total;
  });
  double total = 0;
  for (int64_t c = 0; c < chunks; ++c) total += part[c];
  return total;
}

double cpu_sum(Term term, int64_t n, const float* x, const float* y) {
  switch (term) {
    case Term::value:
      return chunked_sum<Term::value>(n, x, x);
    case Term::absolute:
      return chunked_sum<Term::absolute>(n, x, x);
    case Term::square:
      return chunked_sum<Term::square>(n, x, x);
    case Term::product:
      return chunked_sum<Term::product>(n, x, y);
    case Term::positive:
      return chunked_sum<Term::positive>(n, x, x);
    case Term::zero:
      return chunked_sum<Term::zero>(n, x, x);
  }
  return 0;
}

Tensor workspace(Stream stream, int64_t rows, int64_t columns) {
  const size_t bytes = cuda::sum_workspace(rows, columns);
  return Tensor(Shape{static_cast<int64_t>(bytes / sizeof(float))}, DType::f32, stream);
}

double reduce(Stream stream, Term term, int64_t n, const float* x, const float* y = nullptr) {
  double total = 0;
  const auto on_cuda = [&] {
    const Tensor parts = workspace(stream, n, 1), out(Shape{2}, DType::f32, stream);
    cuda::sum(stream, term, n, x, y, static_cast<double*>(out.bytes()), parts.bytes());
    cuda_download(stream, &total, out.bytes(), sizeof(total));
  };
  dispatch(
      stream, [&] { total = cpu_sum(term, n, x, y); }, on_cuda);
  return total;
}

void cpu_sum_rows(int64_t rows, int64_t columns, const float* x, float beta, float* out) {
  constexpr int64_t kColumns = 64;
  parallel_for((columns + kColumns - 1) / kColumns, [=](int64_t chunk) {
    const int64_t c0 = chunk * kColumns, count = std::min(kColumns, columns - c0);
    double total[kColumns] = {};
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < count; ++c) total[c] += static_cast<double>(x[r * columns + c0 + c]);
    for (int64_t c = 0; c < count; ++c) out[c0 + c] = math::added(total[c], beta, out[c0 + c]);
  });
}

}  // namespace

double sum(Stream stream, int64_t n, const float* x) {
  return reduce(stream, Term::value, n, x);
}

double dot(Stream stream, int64_t n, const float* x, const float* y) {
  return reduce(stream, Term::product, n, x, y);
}

bool all_finite(Stream stream, int64_t n, const float* x) {
  return std::isfinite(reduce(stream, Term::zero, n, x));
}

void sum_to(Stream stream, Term term, int64_t n, const float* x, double divisor, float* out) {
  dispatch(
      stream, [&] { out[0] = static_cast<float>(cpu_sum(term, n, x, nullptr) / divisor); },
      [&] {
        const Tensor parts = workspace(stream, n, 1);
        cuda::sum_to(stream, term, n, x, divisor, out, parts.bytes());
      });
}

void sum_to(Stream stream, Term term, int64_t n, const float* x, double* out) {
  dispatch(
      stream, [&] { out[0] = cpu_sum(term, n, x, nullptr); },
      [&] {
        const Tensor parts = workspace(stream, n, 1);
        cuda::sum(stream, term, n, x, nullptr, out, parts.bytes());
      });
}

void sum_rows(Stream stream, int64_t rows, int64_t columns, const float* x, float beta,
              float* out) {
  dispatch(
      stream, [&] { cpu_sum_rows(rows, columns, x, beta, out); },
      [&] {
        const Tensor parts = workspace(stream, rows, columns);
        cuda::sum_rows(stream, rows, columns, x, beta, out, parts.bytes());
      });
}

void add_sums(Stream stream, int64_t n, const double* sums, float beta, float* out) {
  const auto on_cpu = [&] {
    for (int64_t i = 0; i < n; ++i) out[i] = math::added(sums[i], beta, out[i]);
  };
  dispatch(stream, on_cpu, [&] { cuda::add_sums(stream, n, sums, beta, out); });
}

}  // namespace expunge::kernels
