#include <cblas.h>

#include "tools/bench/rivals/rival.h"

extern "C" void openblas_set_num_threads(int threads);  // in some versions' cblas.h only

namespace {

void multiply(const expunge::rivals::Product& p) {
  cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans, CblasNoTrans,
              static_cast<int>(p.m), static_cast<int>(p.n), static_cast<int>(p.k), 1, p.a,
              static_cast<int>(p.transpose_a ? p.m : p.k), p.b, static_cast<int>(p.n), p.beta, p.c,
              static_cast<int>(p.n));
}

}  // namespace

int main(int argc, char** argv) {
  openblas_set_num_threads(1);  // each of our threads makes products of its own
  return expunge::rivals::run_rival("openblas im2col", argc, argv,
                                    expunge::rivals::im2col_convolution(multiply));
}
