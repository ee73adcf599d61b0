#define EIGEN_DONT_PARALLELIZE  // each of our threads makes products of its own
#include <Eigen/Core>

#include "tools/bench/rivals/rival.h"

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void multiply(const expunge::rivals::Product& p) {
  const Eigen::Map<const Matrix> a(p.a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k),
      b(p.b, p.k, p.n);
  Eigen::Map<Matrix> c(p.c, p.m, p.n);
  if (p.beta == 0) c.setZero();
  if (p.transpose_a)
    c.noalias() += a.transpose() * b;
  else
    c.noalias() += a * b;
}

}  // namespace

int main(int argc, char** argv) {
  return expunge::rivals::run_rival("eigen im2col", argc, argv,
                                    expunge::rivals::im2col_convolution(multiply));
}
