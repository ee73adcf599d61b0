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
  const auto from = rounded<From>(draw(s.rows * s.from_channels, 1));
  auto to = rounded<To>(before(beta, static_cast<int64_t>(n), 2));
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

// As if infinity were the next finite number.
template <class T>
double number(int bits) {
  const auto at = [](int b) { return double{to_float(T{static_cast<uint16_t>(b)})}; };
  return std::isfinite(at(bits)) ? at(bits) : 2 * at(bits - 1) - at(bits - 2);
}

// What is halfway to the next number above that of `bits` >= 0, and the floats beside it.
struct Boundary {
  float below, at, above;
};
template <class T>
Boundary boundary(int bits) {
  const auto half = static_cast<float>((number<T>(bits) + number<T>(bits + 1)) / 2);
  return {std::nextafter(half, 0.0f), half, std::nextafter(half, HUGE_VALF)};
}

// Bits of infinity: all finite numbers from 0 on are below.
template <class T>
int infinity() {
  return from_float<T>(HUGE_VALF).bits;
}

}  // namespace

TEST_CASE_TEMPLATE(
    "16 bits: every value comes back; floats go to the nearest, of two to the even one", T, bf16,
    f16) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const T x{static_cast<uint16_t>(bits)};
    const float wide = to_float(x);
    if (std::isnan(wide))
      REQUIRE(std::isnan(to_float(from_float<T>(wide))));
    else
      REQUIRE(from_float<T>(wide).bits == x.bits);
  }
  for (int bits = 0; bits < infinity<T>(); ++bits) {
    const Boundary b = boundary<T>(bits);
    for (const int sign : {0, 0x8000}) {
      const auto found = [=](float x) { return from_float<T>(sign == 0 ? x : -x).bits - sign; };
      REQUIRE(found(b.below) == bits);
      REQUIRE(found(b.at) == bits + bits % 2);
      REQUIRE(found(b.above) == bits + 1);
    }
  }
  CHECK(std::isnan(to_float(from_float<T>(std::numeric_limits<float>::signaling_NaN()))));
}

TEST_CASE("16 bits: known numbers") {
  CHECK(to_bf16(1 + 1.0f / 256).bits == 0x3f80);
  CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
  CHECK(to_f16(1).bits == 0x3c00);
  CHECK(to_f16(-2).bits == 0xc000);
  CHECK(to_float(f16{0x7bff}) == 65504);
  CHECK(to_float(to_f16(65519.99f)) == 65504);
  CHECK(std::isinf(to_float(to_f16(65520))));
  CHECK(to_float(to_f16(-1e10f)) == -HUGE_VALF);
  CHECK(to_float(f16{0x0001}) == std::ldexp(1.0f, -24));
  CHECK(to_float(f16{0x0400}) == std::ldexp(1.0f, -14));
  CHECK(to_f16(std::ldexp(1.0f, -25)).bits == 0);  // halfway to 2^-24
  CHECK(std::signbit(to_float(to_f16(-1e-30f))));
}

TEST_CASE_TEMPLATE("cuda cast: every number of 16 bits, and what lies between two", T, bf16, f16) {
  std::vector<T> all;
  Floats between;
  for (int bits = 0; bits < infinity<T>(); ++bits) {
    for (const int sign : {0, 0x8000}) all.push_back({static_cast<uint16_t>(bits | sign)});
    const Boundary b = boundary<T>(bits);
    between.insert(between.end(), {b.below, -b.at, b.above, 0});
  }
  const auto n = std::ssize(all), m = std::ssize(between);
  const DeviceArray<T> dev_all(all), narrow(between.size());
  const DeviceArray<float> dev_between(between), wide(all.size());
  cuda::cast(kStream, {1, n, n}, dev_all.data(), 0.0f, wide.data());
  CHECK(same_bits(wide.values(), widened(all)));
  cuda::cast(kStream, {1, m, m}, dev_between.data(), 0.0f, narrow.data());
  CHECK(same_bits(narrow.values(), rounded<T>(between)));
}

TEST_CASE_TEMPLATE("cuda cast: between types and numbers of channels, the bits of the CPU", T, bf16,
                   f16) {
  for (const CastShape& s : kShapes)
    for (const float beta : {0.0f, 1.0f}) {
      CAPTURE(s.rows);
      CAPTURE(s.from_channels);
      CAPTURE(s.to_channels);
      cast_both<float, T>(s, beta);
      cast_both<T, float>(s, beta);
      cast_both<T, T>(s, beta);
      cast_both<float, float>(s, beta);
    }
}

}  // namespace expunge::kernels
