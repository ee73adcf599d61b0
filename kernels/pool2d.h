#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"
#include "core/hd.h"

// Pooling of NHWC maps: x is f32, or on a GPU bf16 or f16; a maximum has x's type, a mean is f32.
namespace expunge::kernels {

struct Pool2dShape {
  int64_t N, H, W, C;
  int64_t kernel, stride, pad;  // pad <= kernel / 2, so that no window is empty

  EXPUNGE_MEMBER_HD int64_t P() const { return (H + 2 * pad - kernel) / stride + 1; }
  EXPUNGE_MEMBER_HD int64_t Q() const { return (W + 2 * pad - kernel) / stride + 1; }
};

// y[n,p,q,c] = max over the window; which[n,p,q,c] = position h W + w of the maximum, the first of
// equals; a NaN in the window is the maximum.
void max_pool2d(Stream stream, const Pool2dShape& shape, ConstValues x, Values y, int32_t* which);
// dx = beta dx + dy at the maxima
void max_pool2d_backward(Stream stream, const Pool2dShape& shape, ConstValues dy,
                         const int32_t* which, float beta, Values dx);

// Windows of output p: rows [begin(p), end(p)) of the input.
//   average pooling   [p stride - pad, p stride - pad + kernel), divided by kernel^2, padding
//   counted as zeros adaptive pooling  [floor(p H / P), ceil((p + 1) H / P)), divided by the
//   window's size
struct AveragePool2dShape {
  int64_t N, H, W, C, P, Q;
  int64_t kernel = 0, stride = 0, pad = 0;  // kernel 0: adaptive
};
void average_pool2d(Stream stream, const AveragePool2dShape& shape, ConstValues x, float* y);
void average_pool2d_backward(Stream stream, const AveragePool2dShape& shape, const float* dy,
                             float beta, Values dx);

// The same on a GPU (pool2d.cu).
namespace cuda {

void max_pool2d(Stream stream, const Pool2dShape& shape, ConstValues x, Values y, int32_t* which);
void max_pool2d_backward(Stream stream, const Pool2dShape& shape, ConstValues dy,
                         const int32_t* which, float beta, Values dx);
void average_pool2d(Stream stream, const AveragePool2dShape& shape, ConstValues x, float* y);
void average_pool2d_backward(Stream stream, const AveragePool2dShape& shape, const float* dy,
                             float beta, Values dx);

}  // namespace cuda

}  // namespace expunge::kernels
