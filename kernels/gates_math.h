#pragma once

#include <cmath>
#include <cstdint>

#include "core/hd.h"

namespace expunge::math {

// Bits that order floats of any sign as their values do; both zeros are one.
EXPUNGE_HD uint32_t order_bits(float x) {
  union {
    float value;
    uint32_t bits;
  } of{x + 0.0f};
  return (of.bits & 0x80000000u) != 0 ? ~of.bits : of.bits | 0x80000000u;
}
EXPUNGE_HD float from_order_bits(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } of{(bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits};
  return of.value;
}

// A radix select decides bits from the highest down: 11, 11 and 10 of them.
struct Digit {
  int shift, width;
};
inline constexpr Digit kDigits[] = {{21, 11}, {10, 11}, {0, 10}};
inline constexpr int kMostDigits = 1 << 11;

// Where the quantile q of n values falls: at rank `low`, and this far towards the next.
struct QuantilePlace {
  int64_t low;
  double part;
};
EXPUNGE_HD QuantilePlace quantile_place(double q, int64_t n) {
  const double place = q * static_cast<double>(n - 1);
  const auto low = static_cast<int64_t>(place);
  return {low, place - static_cast<double>(low)};
}

// 1 - phi in units of 2^-32, so that sums do not depend on their order.
EXPUNGE_HD int64_t risk_of(float phi) {
  return static_cast<int64_t>(std::rint((1.0 - double{phi}) * 4294967296.0));
}
// Whether the mean risk of n is at most alpha.
EXPUNGE_HD bool risk_fits(int64_t risk, int64_t n, double alpha) {
  return static_cast<double>(risk) <= alpha * 4294967296.0 * static_cast<double>(n);
}

}  // namespace expunge::math
