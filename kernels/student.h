#pragma once

#include "kernels/student_math.h"

namespace expunge::kernels {

// The table of math::student_half for `degrees` >= 1 degrees of freedom; error below 1e-6. The last
// two are kept per thread: the pointer is good until the thread asks for two others. Null for
// degrees = 0, the normal distribution.
const float* student_table(float degrees);

}  // namespace expunge::kernels
