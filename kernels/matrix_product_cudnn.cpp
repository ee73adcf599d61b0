#include "kernels/matrix_product.h"
#include "kernels/precision.h"
#include "kernels/vendor_cudnn.h"

namespace expunge::kernels::cuda {

// cuBLAS counts by columns: to it our matrices are transposed, and C^T = B^T A^T.
void multiply(Stream stream, const MatrixProduct& p) {
  const auto op = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cublasComputeType_t compute =
      precision() == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
  const int64_t c_step = p.c_step != 0 ? p.c_step : p.m * p.n;
  const float one = 1.0f;
  check_cublas(cublasGemmStridedBatchedEx(
                   Vendor::of(stream).cublas(), op(p.b_transposed), op(p.a_transposed), n, m, k,
                   &one, p.b, CUDA_R_32F, p.b_transposed ? k : n, p.k * p.n, p.a, CUDA_R_32F,
                   p.a_transposed ? m : k, p.m * p.k, &p.beta, p.c, CUDA_R_32F, n, c_step,
                   static_cast<int>(p.count), compute, CUBLAS_GEMM_DEFAULT),
               "a product of matrices");
}

}  // namespace expunge::kernels::cuda
