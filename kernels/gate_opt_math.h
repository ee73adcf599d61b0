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
EXPUNGE_HD float opt_weight(const Opt& opt, int64_t i) {
  return opt.phi == nullptr ? 1.0f : opt.phi[i];
}
EXPUNGE_HD OptSums opt_sums(float g_f, float g_r, float phi) {
  return opt_sums(double{phi} * double{g_f}, double{phi} * double{g_r});
}
EXPUNGE_HD OptSums opt_sums(const Opt& opt, int64_t i) {
  return opt_sums(opt.g_f[i], opt.g_r[i], opt_weight(opt, i));
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

EXPUNGE_HD uint64_t double_bits(double x) {
  union {
    double value;
    uint64_t bits;
  } of{x};
  return of.bits;
}

// Orders elements as their products are where these are negative, the smallest first; of all others
// kNoConflict.
inline constexpr uint64_t kNoConflict = ~uint64_t{0};
EXPUNGE_HD uint64_t conflict_key(const OptSums& element) {
  return element.uc < 0 ? ~double_bits(-element.uc) : kNoConflict;
}

// The elements of negative product fall into classes by its size, 16 to the octave, the largest
// first, which is `most`; the last class holds all from 64 octaves below the largest on.
inline constexpr int kOptClasses = 1024;
EXPUNGE_HD int opt_place(double size) {
  return static_cast<int>(double_bits(size) >> 48);  // octave and four bits
}
EXPUNGE_HD int opt_class(double most, double size) {
  const int down = opt_place(most) - opt_place(size);
  return down < kOptClasses - 1 ? down : kOptClasses - 1;
}
// No element of class c or a later one has a smaller key, and none of an earlier one a larger;
// kNoConflict behind the last class.
EXPUNGE_HD uint64_t first_key(double most, int c) {
  const int place = opt_place(most) - c;
  if (c >= kOptClasses || place < 0) return kNoConflict;
  return ~((static_cast<uint64_t>(place + 1) << 48) - 1);
}

// Sums of the condition's terms as whole numbers: 2^60 are |u|^2 + |c|^2 of the tensor. A term is
// cut by less than one.
EXPUNGE_HD double opt_units(const OptSums& all) {
  return static_cast<double>(int64_t{1} << 60) / (all.uu + all.cc);
}
EXPUNGE_HD int64_t in_units(double term, double units) {
  constexpr auto kMost = static_cast<double>(int64_t{1} << 62);
  const double number = term * units;
  return number > -kMost && number < kMost ? static_cast<int64_t>(number) : 0;  // not finite: 0
}

// Both sides in units, of a tensor of n: of a class, of what it gains at most when some are
// dropped, and of all behind it.
struct OptSides {
  int64_t forget = 0, retain = 0;
};
EXPUNGE_HD OptSides operator+(const OptSides& a, const OptSides& b) {
  return {a.forget + b.forget, a.retain + b.retain};
}
// What sums of units are off by, and those of doubles (1e-9 of |u|^2 + |c|^2).
EXPUNGE_HD int64_t opt_rounding(int64_t n) {
  return (int64_t{1} << 30) + n;
}
// Whether a prefix that ends in the class may leave something feasible; whether the whole class as
// a prefix does for sure.
EXPUNGE_HD bool opt_may(const OptSides& behind, const OptSides& own, const OptSides& gain,
                        int64_t n) {
  const OptSides best = behind + own + gain;
  return best.forget >= -opt_rounding(n) && best.retain >= -opt_rounding(n);
}
EXPUNGE_HD bool opt_does(const OptSides& behind, int64_t n) {
  return behind.forget >= opt_rounding(n) && behind.retain >= opt_rounding(n);
}

}  // namespace expunge::math
