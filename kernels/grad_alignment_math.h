#pragma once

#include "core/hd.h"
#include "core/rng.h"

// What happens to one parameter between its two gradients and its weight in the update: the only
// copy, for CPU and CUDA. g_f is the gradient of the forget objective, g_r of the retain objective.
// Source: Dine, Furon, Faure, "Improving Unlearning with Model Updates Probably Aligned with
// Gradients", arXiv 2511.02435; estimators other than the paper's are ours (docs/unlearning.md).
namespace expunge::math {

// erf(x) = x p(x^2) / q(x^2) for |x| <= 3.9 and +-1 beyond, where it is 1 in float. p and q of
// degree 5 are our own fit (iteratively reweighted least squares, tools/fit_erf.py): relative
// error 1.7e-8 in exact arithmetic, 4e-7 in float.
EXPUNGE_HD float erf_inside(float a) {  // |a| <= 3.9
  const float t = a * a;
  float p = 2.0664711e-06f;
  p = p * t + 0.00028506064f;
  p = p * t + 0.0037383053f;
  p = p * t + 0.0526679531f;
  p = p * t + 0.189665973f;
  p = p * t + 1.12837911f;
  float q = 3.82699145e-05f;
  q = q * t + 0.00115736516f;
  q = q * t + 0.0149141951f;
  q = q * t + 0.113818586f;
  q = q * t + 0.501419842f;
  q = q * t + 1.0f;
  return a * p / q;
}
EXPUNGE_HD float erf(float x) {
  const float y = erf_inside(x < 3.9f ? (x > -3.9f ? x : -3.9f) : 3.9f);
  return y < 1.0f ? (y > -1.0f ? y : -1.0f) : 1.0f;
}

// Phi(z) - 1/2 of the normal distribution: odd, so that small values keep their digits.
EXPUNGE_HD float normal_half(float z) {
  return 0.5f * erf(0.70710678f * z);
}

// m / SE, at most 8 in size. SE = 0: +-8 for m != 0, and 0 where m = 0. SE infinite, as where
// nothing is known: 0.
EXPUNGE_HD float signal(float m, float squared_error) {
  const float z = m / __builtin_sqrtf(squared_error);
  const float sure = m > 0.0f ? 8.0f : (m < 0.0f ? -8.0f : 0.0f);
  const float bounded = z < 8.0f ? (z > -8.0f ? z : -8.0f) : 8.0f;
  return squared_error > 0.0f ? bounded : sure;
}

// The paper's second moment: the first step V = (1 - rho) g^2, later V = rho g^2 + (1 - rho) V, so
// the newest square has weight rho = 0.9. z = g / sqrt(V + 1e-8).
struct PaperRule {
  float newest, kept;  // weights of g^2 and of V in this step
};
EXPUNGE_HD float paper_signal(const PaperRule& r, float g, float& v) {
  v = r.newest * (g * g) + r.kept * v;
  return g / __builtin_sqrtf(v + 1e-8f);
}

// Phi(z) - 1/2 of it, without erf's limits: |z| <= 1 / sqrt(newest), and newest is 0.1 or more.
EXPUNGE_HD float paper_half(const PaperRule& r, float g, float& v) {
  return 0.5f * erf_inside(0.70710678f * paper_signal(r, g, v));
}

// Exponentially weighted mean and variance with decay rho. W = rho W + 1 and Q = rho^2 Q + 1 count
// samples; a = 1 / W, S = Q / W^2.
//   delta = g - m,  m += a delta,  v = (1 - a) (v + a delta^2),  SE^2 = v S / (1 - S)
struct EmaRule {
  float a;
  float spread;  // S / (1 - S); negative before the second sample: SE^2 is infinite
};
EXPUNGE_HD float ema_error(const EmaRule& r, float g, float& m, float& v) {  // SE^2
  const float delta = g - m;
  m = m + r.a * delta;
  v = (1.0f - r.a) * (v + r.a * (delta * delta));
  return r.spread < 0.0f ? __builtin_inff() : v * r.spread;
}
EXPUNGE_HD float ema_signal(const EmaRule& r, float g, float& m, float& v) {
  const float squared_error = ema_error(r, g, m, v);
  return signal(m, squared_error);
}

// Blocks of K batches (Welford 1962); the last complete block's z is used: SE^2 = s^2 / K.
//   delta = g - m,  m += delta / j,  M2 += delta (g - m)
struct WelfordRule {
  float inverse;  // 1 / j, j = 1 .. K the place in the block
  float scale;    // in the last place 1 / (K (K - 1)), which makes M2 the squared error; else 0
};
EXPUNGE_HD void welford(const WelfordRule& r, float g, float& m, float& m2) {
  const bool first = r.inverse == 1.0f;
  const float m0 = first ? 0.0f : m, s0 = first ? 0.0f : m2;
  const float delta = g - m0;
  m = m0 + r.inverse * delta;
  m2 = s0 + delta * (g - m);
}
EXPUNGE_HD float welford_signal(const WelfordRule& r, float g, float& m, float& m2, float& z) {
  welford(r, g, m, m2);
  z = r.scale > 0.0f ? signal(m, m2 * r.scale) : z;
  return z;
}

// Moments that are there already (slices of the batch, a block), perhaps shrunk: phi as a posterior
// under true means drawn from N(0, tau^2) instead of a flat prior,
//   z' = z sqrt(tau^2 / (tau^2 + SE^2))
struct MomentsRule {
  const float* prior = nullptr;  // (1) tau^2, where the work is; null: flat
};
EXPUNGE_HD float prior_of(const MomentsRule& r) {  // negative: flat
  return r.prior != nullptr ? *r.prior : -1.0f;
}
EXPUNGE_HD float moments_signal(float prior, float m, float squared_error) {
  const float z = signal(m, squared_error);
  const bool shrink = prior >= 0.0f && squared_error > 0.0f;
  const float share = prior / (prior + (shrink ? squared_error : 1.0f));
  return shrink ? z * __builtin_sqrtf(share) : z;
}

// The focus vector, P(signs agree) = G(z_f) G(z_r) + (1 - G(z_f)) (1 - G(z_r)), from h = G(z) -
// 1/2: in this form small disagreements are not lost.
EXPUNGE_HD float focus(float half_f, float half_r) {
  return 0.5f + 2.0f * (half_f * half_r);
}

// A step along g_r keeps, along g_f unlearns.
EXPUNGE_HD float direction(float beta, float g_f, float g_r) {
  return beta * g_r + (1.0f - beta) * g_f;
}

// Element gates. Signs agree where one of them is zero.
EXPUNGE_HD float gate_and(float g_f, float g_r) {
  const bool conflict = (g_f > 0.0f && g_r < 0.0f) || (g_f < 0.0f && g_r > 0.0f);
  return conflict ? 0.0f : 1.0f;
}
EXPUNGE_HD float gate_prob(float phi, float q) {
  return phi >= q ? 1.0f : 0.0f;
}

// w ~ Bernoulli(phi): w = 1 where a uniform draw lies below phi.
EXPUNGE_HD float gate_bernoulli(uint64_t seed, int64_t step, int64_t element, float phi) {
  return rng::uniform(rng::mask_draw(seed, step, element).word[0]) < phi ? 1.0f : 0.0f;
}

// --gate-on update: w of the optimizer's step; w = 0 leaves the bits of the old value.
EXPUNGE_HD float gated(float w, float before, float after) {
  return w == 1.0f ? after : (w == 0.0f ? before : before + w * (after - before));
}

}  // namespace expunge::math
