#pragma once

#include <cstdint>

namespace expunge::kernels {

// G(z) - 1/2 of Student's distribution with `degrees` > 0 degrees of freedom, n values; error below
// 1e-6. By a table of cubic pieces over theta = atan(z / sqrt(degrees)), in which the density is
// c cos(theta)^(degrees - 1): smooth for every number of degrees, tails included. The table of the
// last `degrees` is kept per thread.
void student_half(float degrees, int64_t n, const float* z, float* half);

}  // namespace expunge::kernels
