#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device.h"

// Sums in a fixed order: chunks of a fixed size in double, added in the order of the chunks. Same
// bits for any thread count; a GPU has an order of its own.
namespace expunge::kernels {

// Those that return a number wait for it on a GPU.
double sum(Stream stream, int64_t n, const float* x);
double dot(Stream stream, int64_t n, const float* x, const float* y);
bool all_finite(Stream stream, int64_t n, const float* x);

// What is summed: x, |x|, x^2, x y, [x > 0], and 0 x, whose sum is finite where every x is.
enum class Term : unsigned char { value, absolute, square, product, positive, zero };

// out[0] = sum / divisor, where the stream works; nobody waits.
void sum_to(Stream stream, Term term, int64_t n, const float* x, double divisor, float* out);

// out[0] = sum, likewise.
void sum_to(Stream stream, Term term, int64_t n, const float* x, double* out);

// out[c] = beta out[c] + sum_r x[r][c] over rows [0, rows)
void sum_rows(Stream stream, int64_t rows, int64_t columns, const float* x, float beta, float* out);

// out[i] = beta out[i] + sums[i]
void add_sums(Stream stream, int64_t n, const double* sums, float beta, float* out);

// The same on a GPU (reduce.cu), with memory to work in: bytes as the first one says.
namespace cuda {

size_t sum_workspace(int64_t rows, int64_t columns);
// out[0] = sum over x and, for products, y.
void sum(Stream stream, Term term, int64_t n, const float* x, const float* y, double* out,
         void* workspace);
void sum_to(Stream stream, Term term, int64_t n, const float* x, double divisor, float* out,
            void* workspace);
void sum_rows(Stream stream, int64_t rows, int64_t columns, const float* x, float beta, float* out,
              void* workspace);
void add_sums(Stream stream, int64_t n, const double* sums, float beta, float* out);

}  // namespace cuda

}  // namespace expunge::kernels
