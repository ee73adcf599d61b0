#pragma once

#include <cstdint>
#include <vector>

// The mathematics of each operation once more, in double, as plainly as possible: what kernels are
// checked against.
namespace expunge::reference {

using Values = std::vector<double>;

struct Conv {
  int64_t N, H, W, C, K, R, S, stride, pad;
  int64_t P() const { return (H + 2 * pad - R) / stride + 1; }
  int64_t Q() const { return (W + 2 * pad - S) / stride + 1; }
};
Values conv2d(const Conv& s, const Values& x, const Values& w, const Values* bias);

struct Norm {
  int64_t pixels, C;
  double eps;
  bool relu;
};
// mean and var null: of the batch
Values batch_norm(const Norm& s, const Values& x, const Values& gamma, const Values& beta,
                  const Values* residual, const Values* mean, const Values* var);

struct Pool {
  int64_t N, H, W, C, kernel, stride, pad;
};
Values max_pool(const Pool& s, const Values& x);
Values average_pool(const Pool& s, const Values& x);
Values adaptive_pool(int64_t N, int64_t H, int64_t W, int64_t C, int64_t P, int64_t Q,
                     const Values& x);

Values softmax(int64_t N, int64_t C, const Values& x, double temperature = 1);
double cross_entropy(int64_t N, int64_t C, const Values& logits,
                     const Values& targets);  // mean over N
double kl(int64_t N, int64_t C, const Values& student, const Values& teacher, double temperature);
double scrub(int64_t N, int64_t C, const Values& student, const Values& teacher);

}  // namespace expunge::reference
