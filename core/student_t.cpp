#include "core/student_t.h"

#include <Eigen/Core>
#include <unsupported/Eigen/SpecialFunctions>

namespace expunge {

// Half the regularised incomplete beta function I_x(nu / 2, 1 / 2) at x = nu / (nu + t^2) is the
// tail beyond |t|.
double student_cdf(double t, double nu) {
  using One = Eigen::Array<double, 1, 1>;
  const One tail = 0.5 * Eigen::betainc(One(nu / 2), One(0.5), One(nu / (nu + t * t)));
  return t < 0 ? tail(0) : 1 - tail(0);
}

double student_quantile(double p, double nu) {
  if (p < 0.5) return -student_quantile(1 - p, nu);
  double low = 0, high = 1;
  while (student_cdf(high, nu) < p && high < 1e300) low = high, high *= 2;
  for (int i = 0; i < 100; ++i) {  // bisection down to neighbouring doubles
    const double middle = low + (high - low) / 2;
    (student_cdf(middle, nu) < p ? low : high) = middle;
  }
  return high;
}

}  // namespace expunge
