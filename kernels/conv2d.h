#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"
#include "kernels/batch_norm.h"

// Convolution of NHWC activations with KRSC weights, square stride and padding:
//   y[n,p,q,k] = bias[k] + sum_{r,s,c} x[n, p stride - pad + r, q stride - pad + s, c] w[k,r,s,c]
// x, w, y and their gradients (but see there for w's) are of one type: f32, or on a GPU bf16 or
// f16; sums are f32 in all. x is zero outside the image. A linear layer is the case H = W = R = S
// = 1. conv_algo.h chooses how.
namespace expunge::kernels {

// Limits of the shapes: kernel rows and stride.
inline constexpr int64_t kMaxKernel = 64, kMaxStride = 8;

struct Conv2dShape {
  int64_t N, H, W, C;  // x: (N, H, W, C)
  int64_t K, R, S;     // w: (K, R, S, C)
  int64_t stride = 1, pad = 0;

  int64_t P() const { return (H + 2 * pad - R) / stride + 1; }  // y: (N, P, Q, K)
  int64_t Q() const { return (W + 2 * pad - S) / stride + 1; }
  int64_t macs() const { return N * P() * Q() * K * R * S * C; }
};

// bias: (K) or null
void conv2d(Stream stream, const Conv2dShape& shape, ConstValues x, ConstValues w,
            const float* bias, Values y);

// Batch norm with known statistics (batch_norm.h) of what conv2d gives: on the CPU while outputs
// are in the cache, on a GPU in place. The bits are those of the two calls one after the other.
struct ConvNorm {
  const float* line;       // ({a, b}, K)
  ConstValues residual{};  // like y, or null
  bool relu = false;
};
void conv2d_batch_norm(Stream stream, const Conv2dShape& shape, ConstValues x, ConstValues w,
                       const float* bias, const ConvNorm& norm, Values y);

// dx = beta dx + dL/dx
void conv2d_backward_data(Stream stream, const Conv2dShape& shape, ConstValues dy, ConstValues w,
                          float beta, Values dx);

// dw = beta dw + dL/dw of images [n0, n1) alone; sums over disjoint ranges give the whole gradient.
// dw may be f32 where x and dy are not.
void conv2d_backward_weights(Stream stream, const Conv2dShape& shape, int64_t n0, int64_t n1,
                             ConstValues x, ConstValues dy, float beta, Values dw);

// The same on a GPU: cuDNN's plans (conv_plan_book_cudnn.h), and cuBLAS where it is a product of
// matrices. beta is 0 or 1.
namespace cuda {
void conv2d(Stream stream, const Conv2dShape& shape, ConstValues x, ConstValues w,
            const float* bias, Values y);
void conv2d_backward_data(Stream stream, const Conv2dShape& shape, ConstValues dy, ConstValues w,
                          float beta, Values dx);
void conv2d_backward_weights(Stream stream, const Conv2dShape& shape, int64_t n0, int64_t n1,
                             ConstValues x, ConstValues dy, float beta, Values dw);
// y[r, k] += bias[k]
void add_bias(Stream stream, int64_t rows, int64_t K, const float* bias, Values y);
}  // namespace cuda

}  // namespace expunge::kernels
