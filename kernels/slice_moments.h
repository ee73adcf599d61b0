#pragma once

#include "core/batch_parts.h"
#include "core/device.h"
#include "kernels/slice_moments_math.h"

namespace expunge::kernels {

// Of a run of slices; runs come in order.
math::SliceRules slice_rules(const SliceRun& run);

// A run of slices together, so that what is known of the ones before is read and written once.
// c: what each of them contributes, n of a row of `stride`; sum, squared_error (n): overwritten by
// the first run. The same bits whatever the runs.
void slice_moments(Stream stream, int64_t n, const math::SliceRules& rules, const float* c,
                   int64_t stride, float* sum, float* squared_error);

// SE^2 of a gradient dy^T x from its rows, which are the batch's images, by the squares identity:
// with g_i = N dy_i x_i^T the images' own gradients and `mean` (out, in) the batch's,
//   SE^2 = max(0, sum_i g_i^2 - N mean^2) / (N (N - 1)),   sum_i g_i^2 = N^2 (dy^2)^T (x^2)
// in double. squared_error: (out, in); infinity where N = 1.
void product_error(Stream stream, const RowProduct& product, const float* mean,
                   float* squared_error);

// The same on a GPU (moments.cu).
namespace cuda {

void slice_moments(Stream stream, int64_t n, const math::SliceRules& rules, const float* c,
                   int64_t stride, float* sum, float* squared_error);
void product_error(Stream stream, const RowProduct& product, const float* mean,
                   float* squared_error);

}  // namespace cuda

}  // namespace expunge::kernels
