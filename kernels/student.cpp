#include "kernels/student.h"

#include <array>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace expunge::kernels {
namespace {

constexpr int kCells = 1024;
constexpr double kHalfPi = std::numbers::pi / 2;

// Cubic Hermite pieces of H(theta) = c int_0^theta cos(t)^(degrees - 1) dt, H(pi / 2) = 1/2.
struct Table {
  double degrees = 0;
  std::array<std::array<float, 4>, kCells> cell{};

  explicit Table(double nu) : degrees(nu) {
    const double width = kHalfPi / kCells;
    const auto density = [&](double t) {
      return std::pow(std::max(0.0, std::cos(t)), degrees - 1);
    };
    // Simpson's rule with ten parts a cell; where the density is steep (nu < 1) we do not go.
    std::array<double, kCells + 1> integral{};
    for (int i = 0; i < kCells; ++i) {
      constexpr int kParts = 10;
      double sum = 0;
      for (int k = 0; k < kParts; ++k) {
        const double a = (i + k / double{kParts}) * width, h = width / kParts;
        sum += h / 6 * (density(a) + 4 * density(a + h / 2) + density(a + h));
      }
      integral[static_cast<size_t>(i) + 1] = integral[static_cast<size_t>(i)] + sum;
    }
    const double scale = 0.5 / integral[kCells];
    for (int i = 0; i < kCells; ++i) {
      const auto at = static_cast<size_t>(i);
      const double y0 = integral[at] * scale, y1 = integral[at + 1] * scale;
      const double d0 = density(i * width) * scale * width,
                   d1 = density((i + 1) * width) * scale * width;
      cell[at] = {static_cast<float>(y0), static_cast<float>(d0),
                  static_cast<float>(3 * (y1 - y0) - 2 * d0 - d1),
                  static_cast<float>(2 * (y0 - y1) + d0 + d1)};
    }
  }

  float operator()(float z) const {
    const double theta = std::atan(std::abs(double{z}) / std::sqrt(degrees));
    const double at = theta * (kCells / kHalfPi);
    const int i = std::min(kCells - 1, static_cast<int>(at));
    const auto& c = cell[static_cast<size_t>(i)];
    const auto u = static_cast<float>(at - i);
    const float y = c[0] + u * (c[1] + u * (c[2] + u * c[3]));
    return z < 0 ? -y : y;
  }
};

}  // namespace

void student_half(float degrees, int64_t n, const float* z, float* half) {
  EXPUNGE_CHECK(degrees >= 1, "student: {} degrees of freedom, at least 1 expected", degrees);
  thread_local Table table(double{degrees});
  if (table.degrees != double{degrees}) table = Table(double{degrees});
  for (int64_t i = 0; i < n; ++i) half[i] = table(z[i]);
}

}  // namespace expunge::kernels
