#pragma once

#include <vector>

#include "unlearn/importance.h"

// influence (Koh & Liang 2017; with WoodFisher's approximation of the Hessian, Singh & Alistarh
// 2020):
//     theta <- theta + alpha H^-1 v,    v = 1/n sum_F grad l - n_f / (n n_r) sum_R grad l
//     H = damping I + 1/N sum_i s_i s_i^T,   s_i: gradients of N retained samples
namespace expunge::unlearn {

struct InfluenceConfig {
  double alpha = 1;        // the influence function's own step; optml: 20
  int64_t samples = 1000;  // N
  double damping = 1;
  int64_t iterations = 20;  // of conjugate gradients, each a pass over the N samples
  // What Unlearn-Sparse computes instead: its o is only ever rescaled, so that the result is v plus
  // a multiple of the first gradient.
  bool optml = false;
};

// H^-1 v, from gradients that come one at a time, where the parameters are.
class InverseHessian {
 public:
  InverseHessian() = default;
  InverseHessian(const ParamStore& params, const InfluenceConfig& config);

  // Before the first gradient.
  void start(const LongSum& v);
  // The gradient of sample `i` of `samples`, in this round.
  void take(int64_t i, int64_t samples, const Tensor& gradient);
  // After a round of `samples` gradients.
  void end_round();

  double residual() const;                     // |v - H x| by now; 0 for optml
  const Tensor& result() const { return x_; }  // x = H^-1 v
  std::vector<NamedBuffer> state() const;

 private:
  void take_optml(int64_t i, const Tensor& gradient);
  InfluenceConfig config_;
  Tensor x_, r_, p_;  // conjugate gradients; optml: k, unused, o
  LongSum q_;         // H p; its damping is added at the end of a round
};

}  // namespace expunge::unlearn
