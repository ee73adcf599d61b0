#include "kernels/conv2d.h"
#include "kernels/vendor_cudnn.h"

namespace expunge::kernels::cuda {
namespace {

using cudnn::ConvPass;
using cudnn::ConvPointers;

constexpr int64_t kVector = 16;  // bytes of the widest access, which most engines want

bool is_product(const Conv2dShape& s) {
  return s.H == 1 && s.W == 1 && s.R == 1 && s.S == 1 && s.pad == 0;
}

int64_t alignment(const ConvPointers& at) {
  const auto bits = reinterpret_cast<uintptr_t>(at.x) | reinterpret_cast<uintptr_t>(at.w) |
                    reinterpret_cast<uintptr_t>(at.y);
  return bits % kVector == 0 ? kVector : static_cast<int64_t>(sizeof(float));
}

void run(Stream stream, ConvPass pass, const Conv2dShape& s, float beta, const ConvPointers& at) {
  Vendor::of(stream).convolve({.pass = pass,
                               .shape = s,
                               .precision = precision(),
                               .accumulates = beta != 0.0f,
                               .alignment = alignment(at)},
                              at);
}

// C = beta C + A B of rows by columns (m x n, over k), in our order of rows. cuBLAS counts by
// columns: to it our matrices are transposed, and C^T = B^T A^T.
struct Product {
  int64_t m, n, k;
  const float *a, *b;
  bool a_transposed = false, b_transposed = false;  // given as (k, m), (n, k)
  float beta = 0;
  float* c;
};
void multiply(Stream stream, const Product& p) {
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cublasComputeType_t compute =
      precision() == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
  const float one = 1.0f;
  check_cublas(cublasGemmEx(Vendor::of(stream).cublas(), op(p.b_transposed), op(p.a_transposed), n,
                            m, k, &one, p.b, CUDA_R_32F, p.b_transposed ? k : n, p.a, CUDA_R_32F,
                            p.a_transposed ? m : k, &p.beta, p.c, CUDA_R_32F, n, compute,
                            CUBLAS_GEMM_DEFAULT),
               "a product of matrices");
}

}  // namespace

void conv2d(Stream stream, const Conv2dShape& s, const float* x, const float* w, const float* bias,
            float* y) {
  if (is_product(s))
    multiply(stream, {.m = s.N, .n = s.K, .k = s.C, .a = x, .b = w, .b_transposed = true, .c = y});
  else
    run(stream, ConvPass::forward, s, 0.0f, {x, w, y});
  if (bias != nullptr) add_bias(stream, s.N * s.P() * s.Q(), s.K, bias, y);
}

void conv2d_backward_data(Stream stream, const Conv2dShape& s, const float* dy, const float* w,
                          float beta, float* dx) {
  if (is_product(s))
    multiply(stream, {.m = s.N, .n = s.C, .k = s.K, .a = dy, .b = w, .beta = beta, .c = dx});
  else
    run(stream, ConvPass::data, s, beta, {dx, w, dy});
}

void conv2d_backward_weights(Stream stream, const Conv2dShape& whole, int64_t n0, int64_t n1,
                             const float* x, const float* dy, float beta, float* dw) {
  Conv2dShape s = whole;
  s.N = n1 - n0;
  x += n0 * s.H * s.W * s.C, dy += n0 * s.P() * s.Q() * s.K;
  if (is_product(s))
    multiply(stream, {.m = s.K,
                      .n = s.C,
                      .k = s.N,
                      .a = dy,
                      .b = x,
                      .a_transposed = true,
                      .beta = beta,
                      .c = dw});
  else
    run(stream, ConvPass::weights, s, beta, {x, dw, dy});
}

}  // namespace expunge::kernels::cuda
