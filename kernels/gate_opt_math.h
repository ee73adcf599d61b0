#pragma once

#include <cstdint>

#include "core/hd.h"

namespace expunge::math {

// |u|^2, |c|^2 and <u, c> of some elements.
struct OptSums {
  double uu = 0, cc = 0, uc = 0;
};
EXPUNGE_HD OptSums opt_sums(double u, double c) {
  return {u * u, c * c, u * c};
}
EXPUNGE_HD void add(OptSums& into, const OptSums& s) {
  into.uu += s.uu, into.cc += s.cc, into.uc += s.uc;
}

// u and c of OPT, and the condition on the sums of a set: both sides of
//   min(a |u|^2 + b <u, c>, b |c|^2 + a <u, c>) >= 0,  a = 1 - beta, b = beta.
struct Opt {
  const float *g_f, *g_r, *phi;  // phi: nullptr is 1
  double beta;
};
EXPUNGE_HD double opt_weight(const Opt& opt, int64_t i) {
  return opt.phi == nullptr ? 1.0 : double{opt.phi[i]};
}
EXPUNGE_HD OptSums opt_sums(const Opt& opt, int64_t i) {
  const double weight = opt_weight(opt, i);
  return opt_sums(weight * double{opt.g_f[i]}, weight * double{opt.g_r[i]});
}
EXPUNGE_HD double opt_forget(const Opt& opt, const OptSums& s) {
  return (1 - opt.beta) * s.uu + opt.beta * s.uc;
}
EXPUNGE_HD double opt_retain(const Opt& opt, const OptSums& s) {
  return opt.beta * s.cc + (1 - opt.beta) * s.uc;
}
EXPUNGE_HD bool opt_feasible(const Opt& opt, const OptSums& s) {
  return opt_forget(opt, s) >= 0 && opt_retain(opt, s) >= 0;
}

// Orders elements as their products are where these are negative, the smallest first; of all others
// kNoConflict.
inline constexpr uint64_t kNoConflict = ~uint64_t{0};
EXPUNGE_HD uint64_t conflict_key(const OptSums& element) {
  union {
    double value;
    uint64_t bits;
  } of{-element.uc};
  return element.uc < 0 ? ~of.bits : kNoConflict;
}

}  // namespace expunge::math
