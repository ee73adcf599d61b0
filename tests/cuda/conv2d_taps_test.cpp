#include "kernels/conv2d_taps.h"

#include "cuda/conv_terms.h"

namespace expunge::kernels {
namespace {

using namespace test;

Conv2dShape shape(int64_t N, int64_t H, int64_t W, int64_t C, int64_t K) {
  return {.N = N, .H = H, .W = W, .C = C, .K = K, .R = 3, .S = 3, .stride = 1, .pad = 1};
}
Conv2dShape shape(int64_t N, int64_t side, int64_t C, int64_t K) {
  return shape(N, side, side, C, K);
}

// Of all parts together.
Floats added(const Floats& sums, int64_t parts) {
  const size_t n = sums.size() / static_cast<size_t>(parts);
  std::vector<double> all(n);
  for (size_t i = 0; i < sums.size(); ++i) all[i % n] += double{sums[i]};
  return {all.begin(), all.end()};
}

template <class T>
Floats taken(const std::vector<T>& x) {
  if constexpr (std::is_same_v<T, float>) return as_tf32(x);
  return widened(x);
}

// spoilt: places in x that are no numbers; what does not see them is as it would be.
template <class T>
void check(const Conv2dShape& s, int64_t parts, const std::vector<size_t>& spoilt = {}) {
  std::vector<T> x = rounded<T>(draw(x_size(s), 1));
  const std::vector<T> dy = rounded<T>(draw(y_size(s), 2));
  for (const size_t i : spoilt) x[i] = from_float<T>(i % 2 == 0 ? std::nanf("") : HUGE_VALF);
  const Floats of_x = taken(x), of_dy = taken(dy);
  std::vector<Sum> expected(w_size(s));
  for_terms(s, [&](size_t y, size_t w, size_t in) {
    expected[w].add(double{of_dy[y]}, double{of_x[in]});
  });
  const DeviceArray<T> dev_x(x), dev_dy(dy);
  const DeviceArray<float> sums(w_size(s) * static_cast<size_t>(parts));
  const auto run = [&] {
    cuda::conv2d_taps_sums(kStream, {s, parts, sums.data()}, ConstValues(dev_x.data()),
                           ConstValues(dev_dy.data()));
    return sums.values();
  };
  const Floats first = run();
  check_near(added(first, parts), expected, 0x1p-23);
  if (spoilt.empty()) CHECK(same_bits(run(), first));
}

}  // namespace

// Units of a part: one, as many as are on their way, more; lines of each width.
TEST_CASE_TEMPLATE("cuda gradients of weights by taps, against double", T, float, bf16) {
  check<T>(shape(4, 8, 64, 64), 1);
  check<T>(shape(2, 16, 8, 64, 64), 3);
  check<T>(shape(3, 4, 16, 64, 64), 2);
  check<T>(shape(1, 2, 32, 64, 64), 1);
}

TEST_CASE_TEMPLATE("cuda gradients of weights by taps: what is no number stays where it is seen", T,
                   float, bf16) {
  check<T>(shape(1, 8, 64, 64), 1, {0, 64 * 7 + 3, 64 * 33 + 5});
}

TEST_CASE("gradients of weights by taps: which they are, and in how many parts") {
  CHECK(is_conv2d_taps(shape(512, 32, 64, 64)));
  CHECK(is_conv2d_taps(shape(1, 8, 256, 512)));
  CHECK_FALSE(is_conv2d_taps(shape(512, 4, 512, 512)));
  CHECK_FALSE(is_conv2d_taps(shape(512, 64, 64, 64)));
  CHECK_FALSE(is_conv2d_taps(shape(512, 32, 32, 64)));
  CHECK_FALSE(is_conv2d_taps(shape(512, 32, 64, 96)));
  CHECK_FALSE(is_conv2d_taps(shape(8, 31, 32, 64, 64)));  // half a unit left
  Conv2dShape other = shape(8, 32, 64, 64);
  other.stride = 2;
  CHECK_FALSE(is_conv2d_taps(other));
  other = shape(8, 32, 64, 64);
  other.pad = 0;
  CHECK_FALSE(is_conv2d_taps(other));
  CHECK(conv2d_taps_parts(shape(512, 32, 64, 64)) == 132);
  CHECK(conv2d_taps_parts(shape(512, 16, 128, 128)) == 33);
  CHECK(conv2d_taps_parts(shape(512, 8, 512, 512)) == 2);
  CHECK(conv2d_taps_parts(shape(512, 8, 1024, 1024)) == 1);
  CHECK(conv2d_taps_parts(shape(3, 8, 64, 64)) == 3);
}

// Channels of several blocks, too.
TEST_CASE_TEMPLATE("cuda gradients of weights by taps: many (plain machine alone)", T, float, bf16,
                   f16) {
  check<T>(shape(5, 8, 64, 128), 1);
  check<T>(shape(5, 8, 128, 64), 2);
  check<T>(shape(1, 16, 64, 64), 3);
  check<T>(shape(3, 32, 64, 64), 5);
  check<T>(shape(9, 16, 64, 64), 4);
}

}  // namespace expunge::kernels
