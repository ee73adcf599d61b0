#pragma once

#include <functional>
#include <string>

#include "tools/bench_kernels.h"

// Other libraries' convolutions on the shapes of `expunge bench kernels`, with its options, check
// and table. Never part of the product.
namespace expunge::rivals {

// Buffers in our layouts: x (N, H, W, C), w (K, R, S, C), y (N, P, Q, K); one of them is the
// result.
struct Problem {
  tools::Direction direction;
  kernels::Conv2dShape shape;
  Tensor x, w, y;
};

struct Prepared {
  std::function<void()> call;
  std::function<void()> fetch{};  // the result into our layout, where `call` leaves another
};
using Prepare = std::function<Prepared(const Problem&)>;

// main of a rival: `name` fills the column `algorithm`; argv as behind `expunge bench kernels`.
int run_rival(const char* name, int argc, char** argv, const Prepare& prepare);

// im2col in front of a product of matrices, batches of images shared out to the threads.
//   c (m, n) = beta c + op(a) b, row-major; op(a) = a (m, k), or the transpose of a (k, m)
struct Product {
  bool transpose_a;
  int64_t m, n, k;
  const float *a, *b;
  float beta;
  float* c;
};
Prepare im2col_convolution(void (*multiply)(const Product&));

}  // namespace expunge::rivals
