#include "kernels/student.h"

#include <array>
#include <cmath>

#include "core/check.h"

namespace expunge::kernels {
namespace {

constexpr int kCells = math::kStudentCells;

// Cubic Hermite pieces of H(y) = c int_0^z(y) (1 + x^2 / nu)^(-(nu + 1) / 2) dx, z = 2 y / (1 - y),
// H(1) = 1/2.
struct Table {
  float degrees = 0;
  std::array<math::StudentCubic, kCells> cell{};

  void fill(float of) {
    degrees = of;
    const double nu = double{of}, width = 1.0 / kCells;
    const auto density = [&](double y) {  // times dz/dy = 2 / (1 - y)^2; its limit at y = 1
      if (y == 1) return nu > 1 ? 0.0 : 0.5;
      const double z = 2 * y / (1 - y);
      return std::exp(-(nu + 1) / 2 * std::log1p(z * z / nu)) * 2 / ((1 - y) * (1 - y));
    };
    std::array<double, kCells + 1> integral{};
    const double node = std::sqrt(0.6) / 2;  // Gauss-Legendre, three points a cell
    for (int i = 0; i < kCells; ++i) {
      const auto at = [&](double u) { return density((i + u) * width); };
      integral[static_cast<size_t>(i) + 1] =
          integral[static_cast<size_t>(i)] +
          width * (5 * at(0.5 - node) + 8 * at(0.5) + 5 * at(0.5 + node)) / 18;
    }
    const double scale = 0.5 / integral[kCells];
    for (int i = 0; i < kCells; ++i) {
      const auto at = static_cast<size_t>(i);
      const double y0 = integral[at] * scale, y1 = integral[at + 1] * scale;
      const double d0 = density(i * width) * scale * width,
                   d1 = density((i + 1) * width) * scale * width;
      const double c[4] = {y0, d0, 3 * (y1 - y0) - 2 * d0 - d1, 2 * (y0 - y1) + d0 + d1};
      for (size_t k = 0; k < 4; ++k) cell[at].c[k] = static_cast<float>(c[k]);
    }
  }
};

}  // namespace

const math::StudentCubic* student_table(float degrees) {
  if (degrees == 0) return nullptr;
  EXPUNGE_CHECK(degrees >= 1, "student: {} degrees of freedom, at least 1 expected", degrees);
  thread_local std::array<Table, 2> tables;  // they stay where they are: callers hold pointers
  thread_local size_t latest = 0;
  if (tables[latest].degrees != degrees) {
    latest = 1 - latest;
    if (tables[latest].degrees != degrees) tables[latest].fill(degrees);
  }
  return tables[latest].cell.data();
}

StudentTables student_tables(Stream stream, float degrees_f, float degrees_r) {
  StudentTables tables;
  dispatch(
      stream,
      [&] {
        tables = {student_table(degrees_f), student_table(degrees_r)};
      },
      [&] {
        tables = {cuda::student_table(stream, degrees_f), cuda::student_table(stream, degrees_r)};
      });
  return tables;
}

}  // namespace expunge::kernels
