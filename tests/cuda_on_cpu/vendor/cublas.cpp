// In place of cuBLAS: a product as its definition says it, which the stream gets to.
#include <cublas_v2.h>

#include <algorithm>
#include <cstdint>

#include "cuda_on_cpu/device.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/streams.h"

using namespace cuda_on_cpu;

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  size_t bytes = 0;
};

namespace {

// Column-major (rows, columns), or given as its transpose; `step` to the next of its kind.
struct Operand {
  const float* at;
  bool transposed;
  int64_t step, leading;
  float operator()(int64_t of, int64_t row, int64_t column) const {
    return at[of * step + (transposed ? row * leading + column : column * leading + row)];
  }
};

// bytes from the first to the last of `count` matrices of so many columns
size_t extent(int64_t count, int64_t step, int64_t leading, int64_t rows, int64_t columns) {
  return static_cast<size_t>((count - 1) * step + (columns - 1) * leading + rows) * sizeof(float);
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;  // for good, as ours are
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  *handle = {.stream = stream};  // the workspace is cuBLAS's own again
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, size_t bytes) {
  handle->workspace = workspace;
  handle->bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t) {
  return "CUBLAS_STATUS_SUCCESS";
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t a_op,
                                          cublasOperation_t b_op, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType, int lda,
                                          long long a_step, const void* b, cudaDataType, int ldb,
                                          long long b_step, const void* beta, void* c, cudaDataType,
                                          int ldc, long long c_step, int count, cublasComputeType_t,
                                          cublasGemmAlgo_t) {
  const Lock lock(machine_lock());
  const bool at = a_op == CUBLAS_OP_T, bt = b_op == CUBLAS_OP_T;
  if (m == 0 || n == 0 || count == 0) return CUBLAS_STATUS_SUCCESS;
  if (lda < std::max(1, at ? k : m) || ldb < std::max(1, bt ? n : k) || ldc < m)
    die("cuBLAS: columns overlap");
  if (k > 0) {
    demand_device("cuBLAS: a", a, extent(count, a_step, lda, at ? k : m, at ? m : k));
    demand_device("cuBLAS: b", b, extent(count, b_step, ldb, bt ? n : k, bt ? k : n));
  }
  demand_device("cuBLAS: c", c, extent(count, c_step, ldc, m, n));
  demand_device("cuBLAS: its memory", handle->workspace, handle->bytes);
  if (*static_cast<const float*>(alpha) != 1.0f) die("cuBLAS: alpha is 1 here");
  const Operand of_a{static_cast<const float*>(a), at, a_step, lda},
      of_b{static_cast<const float*>(b), bt, b_step, ldb};
  enqueue(handle->stream, [=, beta = *static_cast<const float*>(beta), c = static_cast<float*>(c)] {
    for (int64_t of = 0; of < count; ++of)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < m; ++i) {
          float sum = 0;
          for (int64_t l = 0; l < k; ++l) sum += of_a(of, i, l) * of_b(of, l, j);
          float& to = c[of * c_step + j * ldc + i];
          to = beta == 0.0f ? sum : beta * to + sum;
        }
    takes(kLaunchTakes);
  });
  return CUBLAS_STATUS_SUCCESS;
}
