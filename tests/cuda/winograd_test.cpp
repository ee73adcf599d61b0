#include <algorithm>

#include "cuda/conv_terms.h"
#include "kernels/matrix_product.h"
#include "kernels/winograd_cuda.h"

namespace expunge::kernels {
namespace {

using namespace test;

// Of the largest element: as on the CPU (tests/kernels/winograd_test.cpp).
constexpr double kTolerance = 1e-4;

struct Case {
  Conv2dShape s;
  int64_t images;  // at a time
};
Case one(int64_t N, int64_t H, int64_t W, int64_t C, int64_t K, int64_t pad, int64_t images) {
  return {{.N = N, .H = H, .W = W, .C = C, .K = K, .R = 3, .S = 3, .pad = pad}, images};
}

// Whole tiles and parts of them, one pixel, no and double padding; odd channels and even ones; a
// chunk, chunks, a rest.
const Case kCases[] = {one(2, 8, 8, 6, 4, 1, 2), one(1, 5, 7, 3, 5, 1, 1),
                       one(3, 1, 1, 2, 9, 1, 2), one(2, 9, 6, 4, 3, 0, 1),
                       one(1, 4, 5, 2, 7, 2, 1), one(5, 6, 7, 5, 6, 1, 2)};
// Tiles enough for gradients of weights in two parts: a whole chunk, a rest that is shared out, one
// that is not.
const Case kParts[] = {one(4, 36, 60, 2, 2, 1, 4), one(6, 36, 60, 1, 2, 1, 4),
                       one(5, 36, 60, 2, 1, 1, 4)};

void check_close(const Floats& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  for (const double e : expected) largest = std::max(largest, std::abs(e));
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    REQUIRE(std::abs(double{found[i]} - expected[i]) <= kTolerance * largest);
  }
}

// beta 0: what is there is no number
std::vector<double> there(float beta, const Floats& before) {
  std::vector<double> sums(before.size());
  if (beta != 0.0f)
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = double{beta} * double{before[i]};
  return sums;
}

DeviceArray<float> memory_of(int64_t bytes) {
  return DeviceArray<float>(static_cast<size_t>(bytes) / sizeof(float));
}

struct Inputs {
  Floats x, w, dy;
  DeviceArray<float> dev_x, dev_w, dev_dy;
  explicit Inputs(const Conv2dShape& s)
      : x(draw(x_size(s), 1)),
        w(draw(w_size(s), 2)),
        dy(draw(y_size(s), 3)),
        dev_x(x),
        dev_w(w),
        dev_dy(dy) {}
};

Floats check_forward(const Case& c) {
  const Inputs in(c.s);
  std::vector<double> expected(y_size(c.s));
  for_terms(
      c.s, [&](size_t y, size_t w, size_t x) { expected[y] += double{in.w[w]} * double{in.x[x]}; });
  const DeviceArray<float> y(expected.size());
  const auto memory = memory_of(cuda::winograd_workspace(c.s, c.images));
  cuda::winograd(kStream, {c.s, c.images, memory.data()}, in.dev_x.data(), in.dev_w.data(),
                 y.data());
  check_close(y.values(), expected);
  return y.values();
}

Floats check_data(const Case& c, float beta) {
  const Inputs in(c.s);
  const Floats before = test::before(beta, static_cast<int64_t>(x_size(c.s)), 4);
  std::vector<double> expected = there(beta, before);
  for_terms(c.s, [&](size_t y, size_t w, size_t x) {
    expected[x] += double{in.w[w]} * double{in.dy[y]};
  });
  const DeviceArray<float> dx(before);
  const auto memory = memory_of(cuda::winograd_backward_data_workspace(c.s, c.images));
  cuda::winograd_backward_data(kStream, {c.s, c.images, memory.data()}, in.dev_dy.data(),
                               in.dev_w.data(), beta, dx.data());
  check_close(dx.values(), expected);
  return dx.values();
}

Floats check_weights(const Case& c, float beta) {
  const Inputs in(c.s);
  const Floats before = test::before(beta, static_cast<int64_t>(w_size(c.s)), 5);
  std::vector<double> expected = there(beta, before);
  for_terms(c.s, [&](size_t y, size_t w, size_t x) {
    expected[w] += double{in.x[x]} * double{in.dy[y]};
  });
  const DeviceArray<float> dw(before);
  const auto memory = memory_of(cuda::winograd_backward_weights_workspace(c.s, c.images));
  cuda::winograd_backward_weights(kStream, {c.s, c.images, memory.data()}, in.dev_x.data(),
                                  in.dev_dy.data(), beta, dw.data());
  check_close(dw.values(), expected);
  return dw.values();
}

}  // namespace

TEST_CASE("cuda winograd: forward and both gradients against double") {
  for (const Case& c : kCases) {
    CAPTURE(c.s.H);
    CAPTURE(c.s.W);
    CAPTURE(c.s.C);
    check_forward(c);
    for (const float beta : {0.0f, 1.0f}) {
      check_data(c, beta);
      check_weights(c, beta);
    }
  }
}

TEST_CASE("cuda winograd: gradients of weights in parts") {
  for (const Case& c : kParts) {
    CAPTURE(c.s.N);
    CHECK(cuda::winograd_parts(c.s, c.images) == 2);
    check_weights(c, 1);
  }
  const Case odd = one(1, 90, 91, 1, 1, 1, 1);  // 529 tiles
  CHECK(cuda::winograd_parts(odd.s, 1) == 1);
  check_weights(odd, 0);
}

// cuBLAS may choose by the number of tiles: then bits are those of so many images at a time.
TEST_CASE("cuda winograd: image by image and all at once; the same bits again") {
  for (const int64_t images : {1, 3, 5}) {
    const Case c = one(5, 6, 7, 5, 6, 1, images);
    CHECK(same_bits(check_forward(c), check_forward(c)));
    CHECK(same_bits(check_data(c, 0), check_data(c, 0)));
    CHECK(same_bits(check_weights(c, 0), check_weights(c, 0)));
  }
}

TEST_CASE("cuda products of matrices: any transposed, several, C apart") {
  constexpr int64_t m = 3, n = 5, k = 4, count = 2, step = 17;
  const Floats a = draw(count * m * k, 1), b = draw(count * k * n, 2);
  const DeviceArray<float> dev_a(a), dev_b(b);
  for (const bool a_transposed : {false, true})
    for (const bool b_transposed : {false, true})
      for (const float beta : {0.0f, 1.0f}) {
        const Floats before = test::before(beta, count * step, 3);
        const DeviceArray<float> c(before);
        cuda::multiply(kStream, {.m = m,
                                 .n = n,
                                 .k = k,
                                 .a = dev_a.data(),
                                 .b = dev_b.data(),
                                 .a_transposed = a_transposed,
                                 .b_transposed = b_transposed,
                                 .beta = beta,
                                 .c = c.data(),
                                 .count = count,
                                 .c_step = step});
        const Floats found = c.values();
        for (int64_t i = 0; i < count * step; ++i) {
          const int64_t of = i / step, row = i % step / n, column = i % step % n;
          CAPTURE(i);
          const auto at = static_cast<size_t>(i);
          if (row >= m) {  // between
            CHECK(std::memcmp(&found[at], &before[at], sizeof(float)) == 0);
            continue;
          }
          double sum = beta == 0.0f ? 0 : double{before[at]};
          for (int64_t l = 0; l < k; ++l) {
            const int64_t in_a = of * m * k + (a_transposed ? l * m + row : row * k + l),
                          in_b = of * k * n + (b_transposed ? column * k + l : l * n + column);
            sum += double{a[static_cast<size_t>(in_a)]} * double{b[static_cast<size_t>(in_b)]};
          }
          CHECK(std::abs(double{found[at]} - sum) <= 1e-5 * (1 + std::abs(sum)));
        }
      }
}

// Channels and tiles of a layer as large as those of networks, and a ragged rest.
TEST_CASE("cuda winograd: many (plain machine alone)") {
  const Case c = one(7, 13, 18, 40, 24, 1, 4);
  check_forward(c);
  check_data(c, 1);
  check_weights(c, 1);
}

}  // namespace expunge::kernels
