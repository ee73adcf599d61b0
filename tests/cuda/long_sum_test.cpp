#include "kernels/long_sum.h"

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

}  // namespace

TEST_CASE("cuda long sums: the bits of the CPU, and terms that a float would lose") {
  for (const size_t n : kSizes) {
    CAPTURE(n);
    const auto count = static_cast<int64_t>(n);
    const Floats x = draw(n, 1);
    Floats value = draw(n, 2), rest(n), y = draw(n, 3);
    const Floats before = value;
    const DeviceArray<float> dev_x(x), dev_value(value), dev_rest(rest), dev_y(y);
    for (const double scale : {1.0, -1e-9, 0.3}) {
      add_to({}, count, scale, x.data(), {value.data(), rest.data()});
      cuda::add_to(kStream, count, scale, dev_x.data(), {dev_value.data(), dev_rest.data()});
      add_squares_to({}, count, scale, x.data(), {value.data(), rest.data()});
      cuda::add_squares_to(kStream, count, scale, dev_x.data(),
                           {dev_value.data(), dev_rest.data()});
      add_scaled({}, count, scale, x.data(), y.data());
      cuda::add_scaled(kStream, count, scale, dev_x.data(), dev_y.data());
    }
    add_scaled({}, count, 0.5, y.data(), y.data());  // of itself
    cuda::add_scaled(kStream, count, 0.5, dev_y.data(), dev_y.data());
    CHECK(same_bits(dev_value.values(), value));
    CHECK(same_bits(dev_rest.values(), rest));
    CHECK(same_bits(dev_y.values(), y));
    for (size_t i = 0; i < n; ++i) {
      const double of = double{x[i]},
                   expected = double{before[i]} + (1.0 - 1e-9 + 0.3) * (of + of * of);
      CHECK(std::abs(double{value[i]} + double{rest[i]} - expected) <= 1e-13 * (1 + of * of));
    }
  }
}

}  // namespace expunge::kernels
