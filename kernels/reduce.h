#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/parallel.h"

// Sums in a fixed order: chunks of a fixed size in double, added in the order of the chunks. Same
// bits for any thread count.
namespace expunge::kernels {

double sum(Stream stream, int64_t n, const float* x);
double sum_squares(Stream stream, int64_t n, const float* x);
double sum_abs(Stream stream, int64_t n, const float* x);
double dot(Stream stream, int64_t n, const float* x, const float* y);
bool all_finite(Stream stream, int64_t n, const float* x);

// out[c] = beta out[c] + sum_r x[r][c] over rows [0, rows)
void sum_rows(Stream stream, int64_t rows, int64_t columns, const float* x, float beta, float* out);

}  // namespace expunge::kernels
