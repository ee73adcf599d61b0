#pragma once

#include <cmath>

#include "core/hd.h"

// What an optimizer does to weight i: the only copy, for CPU and CUDA. g is the gradient after
// scaling.
namespace expunge::math {

// SGD as in PyTorch: g' = g + decay w,  v = momentum v + g',  w -= lr (nesterov ? g' + momentum v :
// v)
struct SgdRule {
  float lr, momentum, weight_decay;
  bool nesterov;
};
EXPUNGE_HD void sgd(const SgdRule& r, float g, float& w, float& v) {
  const float decayed = g + r.weight_decay * w;
  v = r.momentum * v + decayed;
  w -= r.lr * (r.nesterov ? decayed + r.momentum * v : v);
}

// Adam (Kingma & Ba 2015) with corrections bias1 = 1 - beta1^t, bias2 = 1 - beta2^t; AdamW
// (Loshchilov & Hutter 2019) where `decoupled`: w -= lr decay w instead of g += decay w.
//   m = beta1 m + (1 - beta1) g,  s = beta2 s + (1 - beta2) g^2,  w -= lr (m / bias1) / (sqrt(s /
//   bias2) + eps)
struct AdamRule {
  float lr, beta1, beta2, eps, weight_decay, bias1, bias2;
  bool decoupled;
};
EXPUNGE_HD void adam(const AdamRule& r, float g, float& w, float& m, float& s) {
  if (r.decoupled)
    w -= r.lr * r.weight_decay * w;
  else
    g += r.weight_decay * w;
  m = r.beta1 * m + (1.0f - r.beta1) * g;
  s = r.beta2 * s + (1.0f - r.beta2) * (g * g);
  w -= r.lr / r.bias1 * (m / (std::sqrt(s / r.bias2) + r.eps));
}

// Clipping, with `squares` = ||g||^2: `scale` becomes what cuts ||scale g|| to `most`, as PyTorch's
// clip_grad_norm_ does: times min(1, most / (||scale g|| + 1e-6)). Returns what that norm was.
EXPUNGE_HD float clip(double squares, float most, float& scale) {
  const double norm = std::sqrt(squares) * static_cast<double>(scale),
               factor = static_cast<double>(most) / (norm + 1e-6);
  if (factor < 1.0) scale *= static_cast<float>(factor);
  return static_cast<float>(norm);
}

EXPUNGE_HD bool is_finite(float x) {
  return x - x == 0.0f;
}

// Whether a step is taken: not after one of n losses that is not finite. Null: in any case.
EXPUNGE_HD bool takes_step(const float* losses, int n = 1) {
  bool finite = true;
  for (int k = 0; k < n && losses != nullptr; ++k) finite &= is_finite(losses[k]);
  return finite;
}

}  // namespace expunge::math
