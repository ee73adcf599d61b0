#include "kernels/cast.h"

#include <limits>

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

// Between the channels that there are, more, and fewer.
constexpr CastShape kShapes[] = {{0, 3, 3},   {1, 1, 1},  {33, 3, 8}, {33, 8, 3},
                                 {7, 64, 64}, {5, 9, 16}, {64, 4, 4}, {13, 17, 17}};

template <class From, class To>
void cast_both(const CastShape& s, float beta) {
  const auto n = static_cast<size_t>(s.rows * s.to_channels);
  std::vector<From> from;
  for (const float v : draw(s.rows * s.from_channels, 1)) from.push_back(from_float<From>(v));
  std::vector<To> to;
  for (const float v : before(beta, static_cast<int64_t>(n), 2)) to.push_back(from_float<To>(v));
  const std::vector<To> first = to;
  const DeviceArray<From> dev_from(from);
  const DeviceArray<To> dev_to(to);
  cast({}, s, from.data(), beta, to.data());
  cuda::cast(kStream, s, dev_from.data(), beta, dev_to.data());
  CHECK(same_bits(dev_to.values(), to));
  for (size_t i = 0; i < n; ++i) {
    const auto c = static_cast<int64_t>(i) % s.to_channels,
               r = static_cast<int64_t>(i) / s.to_channels;
    double expected = beta == 0.0f ? 0.0 : double{beta} * double{to_float(first[i])};
    if (c < s.from_channels)
      expected += double{to_float(from[static_cast<size_t>(r * s.from_channels + c)])};
    REQUIRE(double{to_float(to[i])} ==
            double{to_float(from_float<To>(static_cast<float>(expected)))});
  }
}

}  // namespace

TEST_CASE("bf16: every value comes back; floats go to the nearest, of two to the even one") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 x{static_cast<uint16_t>(bits)};
    const float wide = to_float(x);
    if (std::isnan(wide))
      REQUIRE(std::isnan(to_float(to_bf16(wide))));
    else
      REQUIRE(to_bf16(wide).bits == x.bits);
  }
  for (const float v : draw(int64_t{20000}, 1)) {
    const float r = to_float(to_bf16(v));
    const int bits = to_bf16(v).bits;
    const float up = to_float(bf16{static_cast<uint16_t>(bits + 1)}),
                down = to_float(bf16{static_cast<uint16_t>(bits - 1)});
    REQUIRE(std::abs(r - v) <= std::min(std::abs(up - v), std::abs(down - v)));
  }
  CHECK(to_bf16(1 + 1.0f / 256).bits == 0x3f80);  // halfway between two: the even one
  CHECK(to_bf16(1 + 3.0f / 256).bits == 0x3f82);
  CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
  CHECK(std::isnan(to_float(to_bf16(std::numeric_limits<float>::signaling_NaN()))));
}

TEST_CASE("cuda cast: between types and numbers of channels, the bits of the CPU") {
  for (const CastShape& s : kShapes)
    for (const float beta : {0.0f, 1.0f}) {
      CAPTURE(s.rows);
      CAPTURE(s.from_channels);
      CAPTURE(s.to_channels);
      cast_both<float, bf16>(s, beta);
      cast_both<bf16, float>(s, beta);
      cast_both<bf16, bf16>(s, beta);
      cast_both<float, float>(s, beta);
    }
}

}  // namespace expunge::kernels
