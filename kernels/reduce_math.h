#pragma once

#include "core/hd.h"
#include "kernels/reduce.h"

namespace expunge::math {

EXPUNGE_HD double term(kernels::Term of, float x, float y) {
  const double v = x;
  switch (of) {
    case kernels::Term::value:
      return v;
    case kernels::Term::absolute:
      return v < 0 ? -v : v;
    case kernels::Term::square:
      return v * v;
    case kernels::Term::product:
      return v * double{y};
    case kernels::Term::positive:
      return v > 0 ? 1 : 0;
    case kernels::Term::zero:
      return v * 0.0;
  }
  return 0;
}

// beta out + sum
EXPUNGE_HD float added(double sum, float beta, float out) {
  return static_cast<float>((beta == 0.0f ? 0.0 : double{beta} * double{out}) + sum);
}

}  // namespace expunge::math
