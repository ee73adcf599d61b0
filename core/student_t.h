#pragma once

namespace expunge {

// Student's distribution in double, for tests and intervals; nu > 0 degrees of freedom.
double student_cdf(double t, double nu);       // P(T <= t)
double student_quantile(double p, double nu);  // t with P(T <= t) = p, 0 < p < 1

}  // namespace expunge
