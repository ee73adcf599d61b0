#pragma once

#include "cuda/both.h"
#include "kernels/conv2d.h"

// What 3x3 convolutions of stride 1 sum up, for references in double.
namespace expunge::test {

inline size_t x_size(const kernels::Conv2dShape& s) {
  return static_cast<size_t>(s.N * s.H * s.W * s.C);
}
inline size_t w_size(const kernels::Conv2dShape& s) {
  return static_cast<size_t>(s.K * 9 * s.C);
}
inline size_t y_size(const kernels::Conv2dShape& s) {
  return static_cast<size_t>(s.N * s.P() * s.Q() * s.K);
}

// f(output, weight, input): places in y, w and x that meet
template <class F>
void for_terms(const kernels::Conv2dShape& s, F f) {
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t p = 0; p < s.N * P * Q; ++p)
    for (int64_t t = 0; t < 9; ++t) {
      const int64_t h = p / Q % P - s.pad + t / 3, w = p % Q - s.pad + t % 3;
      if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
      for (int64_t k = 0; k < s.K; ++k)
        for (int64_t c = 0; c < s.C; ++c)
          f(static_cast<size_t>(p * s.K + k), static_cast<size_t>((k * 9 + t) * s.C + c),
            static_cast<size_t>(((p / P / Q * s.H + h) * s.W + w) * s.C + c));
    }
}

// A sum in double, and the sum of its terms' sizes.
struct Sum {
  double value = 0, sizes = 0;
  void add(double a, double b) { value += a * b, sizes += std::abs(a * b); }
};

// Sums of f32 in the hardware's order.
inline void check_near(const Floats& found, const std::vector<Sum>& expected, double rounding) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    const Sum& e = expected[i];
    if (!std::isfinite(e.value)) {
      REQUIRE((std::isnan(e.value) ? std::isnan(found[i]) : double{found[i]} == e.value));
      continue;
    }
    REQUIRE(std::abs(double{found[i]} - e.value) <= 1e-5 * e.sizes + rounding * std::abs(e.value));
  }
}

// What tensor cores take of f32 in tf32: 10 bits behind the leading one, of two as near the larger.
inline Floats as_tf32(Floats x) {
  for (float& v : x) {
    if (v == 0 || !std::isfinite(v)) continue;
    const double step = std::ldexp(1.0, std::ilogb(v) - 10);
    v = static_cast<float>(std::round(double{v} / step) * step);
  }
  return x;
}

}  // namespace expunge::test
