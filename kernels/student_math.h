#pragma once

#include "core/hd.h"

// Student's distribution by pieces (kernels/student.h): G(z) - 1/2 for z >= 0 as a function of
// y = z / (z + 2), a cubic in each of kStudentCells equal cells of [0, 1]. In y the function is
// smooth for every number of degrees, and the tails are short.
namespace expunge::math {

inline constexpr int kStudentCells = 512;

// Coefficients by rising power of the place in the cell; a GPU reads them at once.
struct alignas(16) StudentCubic {
  float c[4];
};

// table (kStudentCells)
EXPUNGE_HD float student_half(const StudentCubic* table, float z) {
  const float size = z < 0.0f ? -z : z;
  const float a = size < 1e30f ? size : 1e30f;
  const float place = a / (a + 2.0f) * static_cast<float>(kStudentCells);
  const int at = static_cast<int>(place);
  const int cell = at < kStudentCells ? at : kStudentCells - 1;
  const float u = place - static_cast<float>(cell);
  const StudentCubic cubic = table[cell];
  const float(&c)[4] = cubic.c;
  const float half = c[0] + u * (c[1] + u * (c[2] + u * c[3]));
  return z < 0.0f ? -half : half;
}

}  // namespace expunge::math
