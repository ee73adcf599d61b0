#pragma once

#include <cstdint>

#include "core/device.h"

namespace expunge::kernels {

// C = beta C + A B of rows by columns (m x n, over k), f32, `count` times: matrices of a kind lie
// one behind the other, those of C `c_step` apart (0: m n).
struct MatrixProduct {
  int64_t m, n, k;
  const float *a, *b;
  bool a_transposed = false, b_transposed = false;  // given as (k, m), (n, k)
  float beta = 0;
  float* c;
  int64_t count = 1, c_step = 0;
};

// On a GPU, by cuBLAS; in tf32 where the process computes so (precision.h).
namespace cuda {
void multiply(Stream stream, const MatrixProduct& product);
}

}  // namespace expunge::kernels
