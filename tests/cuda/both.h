#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "cuda/device_array.h"
#include "support/normal_values.h"

// For tests that do the same on the CPU and on the device.
namespace expunge::test {

using Floats = std::vector<float>;

inline constexpr Stream kStream{.device = Device::cuda};
inline constexpr size_t kSizes[] = {0, 1, 31, 32, 33, 256, 257, 1029};

// Normal ones; the fourth is 0.
inline Floats draw(size_t n, uint64_t key) {
  const auto values = normal_values(static_cast<int64_t>(n), key);
  Floats x(values.begin(), values.end());
  if (n > 3) x[3] = 0;
  return x;
}
inline Floats draw(int64_t n, uint64_t key) {
  return draw(static_cast<size_t>(n), key);
}

// What is there before a kernel writes with this beta: with 0 it must not be read.
inline Floats before(float beta, int64_t n, uint64_t key) {
  return beta == 0.0f ? Floats(static_cast<size_t>(n), std::nanf("")) : draw(n, key);
}

template <class T>
std::vector<T> rounded(const Floats& x) {
  std::vector<T> y;
  for (const float v : x) y.push_back(from_float<T>(v));
  return y;
}
template <class T>
Floats widened(const std::vector<T>& x) {
  Floats y;
  for (const T v : x) y.push_back(to_float(v));
  return y;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void check_near(const std::vector<T>& found, const std::vector<T>& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    const double f = found[i], e = expected[i];
    REQUIRE(std::abs(f - e) <= tolerance * (1 + std::abs(e)));
  }
}

}  // namespace expunge::test
