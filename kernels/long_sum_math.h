#pragma once

#include "core/hd.h"

namespace expunge::math {

// value + rest += term
EXPUNGE_HD void add_term(double term, float& value, float& rest) {
  const double sum = double{value} + double{rest} + term;
  value = static_cast<float>(sum);
  rest = static_cast<float>(sum - double{value});
}

struct ScaledTerm {
  double scale;
  EXPUNGE_MEMBER_HD double operator()(float x) const { return scale * double{x}; }
};
struct SquareTerm {
  double scale;
  EXPUNGE_MEMBER_HD double operator()(float x) const { return scale * (double{x} * double{x}); }
};

}  // namespace expunge::math
