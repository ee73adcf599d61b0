#include "kernels/each.cuh"
#include "kernels/matrix_product.h"

// In place of kernels/matrix_product_cudnn.cpp, in tests of kernels alone: a thread an element.
namespace expunge::kernels::cuda {
namespace {

struct Element {
  MatrixProduct p;
  int64_t c_step;
  __device__ void operator()(int64_t i) const {
    const int64_t of = i / (p.m * p.n), row = i / p.n % p.m, column = i % p.n;
    const float *a = p.a + of * p.m * p.k, *b = p.b + of * p.k * p.n;
    float sum = 0;
    for (int64_t l = 0; l < p.k; ++l)
      sum += a[p.a_transposed ? l * p.m + row : row * p.k + l] *
             b[p.b_transposed ? column * p.k + l : l * p.n + column];
    float& c = p.c[of * c_step + row * p.n + column];
    c = p.beta == 0.0f ? sum : p.beta * c + sum;
  }
};

}  // namespace

void multiply(Stream stream, const MatrixProduct& p) {
  each(stream, p.count * p.m * p.n, Element{p, p.c_step != 0 ? p.c_step : p.m * p.n});
}

}  // namespace expunge::kernels::cuda
