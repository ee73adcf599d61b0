#include "kernels/conv2d_tf32.h"

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

// spoilt: places in x that are no numbers; what does not see them is as it would be.
void check(const Conv2dShape& s, int64_t parts, const std::vector<size_t>& spoilt = {}) {
  Floats x = draw(x_size(s), 1);
  const Floats dy = draw(y_size(s), 2);
  for (const size_t i : spoilt) x[i] = i % 2 == 0 ? std::nanf("") : HUGE_VALF;
  const Floats of_x = as_tf32(x), of_dy = as_tf32(dy);
  std::vector<Sum> expected(w_size(s));
  for_terms(s, [&](size_t y, size_t w, size_t in) {
    expected[w].add(double{of_dy[y]}, double{of_x[in]});
  });
  const DeviceArray<float> dev_x(x), dev_dy(dy), sums(w_size(s) * static_cast<size_t>(parts));
  const auto run = [&] {
    cuda::conv2d_tf32_sums(kStream, s, parts, dev_x.data(), dev_dy.data(), sums.data());
    return sums.values();
  };
  const Floats first = run();
  check_near(added(first, parts), expected, 0x1p-23);
  if (spoilt.empty()) CHECK(same_bits(run(), first));
}

}  // namespace

// Units of a part: one, as many as are on their way, more; lines of each width, channels of several
// blocks.
TEST_CASE("cuda gradients of weights in tf32, against double") {
  check(shape(1, 8, 64, 64), 1);
  check(shape(5, 8, 64, 128), 1);
  check(shape(5, 8, 128, 64), 2);
  check(shape(1, 16, 64, 64), 3);
  check(shape(1, 32, 64, 64), 2);
  check(shape(2, 16, 8, 64, 64), 1);
  check(shape(3, 4, 16, 64, 64), 2);
  check(shape(1, 2, 32, 64, 64), 1);
}

TEST_CASE("cuda gradients of weights in tf32: what is no number stays where it is seen") {
  check(shape(2, 8, 64, 64), 1, {0, 64 * 7 + 3, 64 * (64 + 8 + 1) + 5});
}

TEST_CASE("gradients of weights in tf32: which they are, and in how many parts") {
  CHECK(is_conv2d_tf32(shape(512, 32, 64, 64)));
  CHECK(is_conv2d_tf32(shape(1, 8, 256, 512)));
  CHECK_FALSE(is_conv2d_tf32(shape(512, 4, 512, 512)));
  CHECK_FALSE(is_conv2d_tf32(shape(512, 64, 64, 64)));
  CHECK_FALSE(is_conv2d_tf32(shape(512, 32, 32, 64)));
  CHECK_FALSE(is_conv2d_tf32(shape(512, 32, 64, 96)));
  Conv2dShape other = shape(8, 32, 64, 64);
  other.H = 31;  // half a unit left
  CHECK_FALSE(is_conv2d_tf32(other));
  other = shape(8, 32, 64, 64);
  other.stride = 2;
  CHECK_FALSE(is_conv2d_tf32(other));
  other = shape(8, 32, 64, 64);
  other.pad = 0;
  CHECK_FALSE(is_conv2d_tf32(other));
  CHECK(conv2d_tf32_parts(shape(512, 32, 64, 64)) == 132);
  CHECK(conv2d_tf32_parts(shape(512, 16, 128, 128)) == 33);
  CHECK(conv2d_tf32_parts(shape(512, 8, 512, 512)) == 2);
  CHECK(conv2d_tf32_parts(shape(512, 8, 1024, 1024)) == 1);
  CHECK(conv2d_tf32_parts(shape(3, 8, 64, 64)) == 3);
}

TEST_CASE("cuda gradients of weights in tf32: many (plain machine alone)") {
  check(shape(7, 32, 64, 64), 5);
  check(shape(9, 16, 64, 64), 4);
}

}  // namespace expunge::kernels
