#include "kernels/conv2d_image.h"

#include "cuda/conv_terms.h"

namespace expunge::kernels {
namespace {

using namespace test;

Conv2dShape shape(int64_t N, int64_t H, int64_t W, int64_t K) {
  return {.N = N, .H = H, .W = W, .C = 3, .K = K, .R = 3, .S = 3, .stride = 1, .pad = 1};
}

// Less than a matrix of 16 pixels, a whole one, more; lines that matrices cross, images that end
// within; 32 channels and 64 at a time.
const Conv2dShape kShapes[] = {shape(1, 1, 1, 32), shape(1, 1, 16, 64), shape(2, 16, 1, 32),
                               shape(3, 5, 7, 64), shape(5, 8, 8, 96),  shape(2, 9, 17, 128)};

// How far of itself a number of T is off; f32 stands for tf32, whose products have 11 bits.
template <class T>
constexpr double kRounding = std::is_same_v<T, bf16>  ? 0x1p-8
                             : std::is_same_v<T, f16> ? 0x1p-11
                                                      : 0x1p-24;

// What tensor cores take.
template <class T>
Floats taken(Floats x) {
  if constexpr (std::is_same_v<T, float>) return as_tf32(std::move(x));
  return widened(rounded<T>(x));
}

// spoilt: places in x that are no numbers; what does not see them is as it would be.
template <class T>
void check_forward(const Conv2dShape& s, bool bias, const std::vector<size_t>& spoilt = {}) {
  Floats x = draw(s.N * s.H * s.W * 3, 1);
  for (const size_t i : spoilt) x[i] = std::nanf("");
  const Floats w = draw(s.K * 27, 2), to_add = bias ? draw(s.K, 6) : Floats(size_t(s.K)),
               of_x = taken<T>(x), of_w = taken<T>(w);
  std::vector<Sum> expected(y_size(s));
  for (size_t i = 0; i < expected.size(); ++i)
    expected[i].add(1, double{to_add[i % static_cast<size_t>(s.K)]});
  for_terms(s, [&](size_t y, size_t weight, size_t in) {
    expected[y].add(double{of_w[weight]}, double{of_x[in]});
  });
  const DeviceArray<float> dev_x(x), dev_w(w), dev_bias(to_add);
  const DeviceArray<T> dev_y(expected.size());
  cuda::conv2d_image(kStream, s, dev_x.data(), dev_w.data(), bias ? dev_bias.data() : nullptr,
                     dev_y.data());
  check_near(widened(dev_y.values()), expected, kRounding<T>);
}

template <class T>
void check_weights(const Conv2dShape& s, float beta, const std::vector<size_t>& spoilt = {}) {
  Floats x = draw(s.N * s.H * s.W * 3, 3);
  for (const size_t i : spoilt) x[i] = std::nanf("");
  const Floats of_x = taken<T>(x), there = before(beta, s.K * 27, 4);
  const std::vector<T> dy = rounded<T>(draw(y_size(s), 5));
  const Floats of_dy = taken<T>(widened(dy));
  std::vector<Sum> expected(there.size());
  if (beta != 0.0f)
    for (size_t i = 0; i < there.size(); ++i) expected[i].add(double{beta}, double{there[i]});
  for_terms(s, [&](size_t y, size_t weight, size_t in) {
    expected[weight].add(double{of_dy[y]}, double{of_x[in]});
  });
  const DeviceArray<float> dev_x(x), dev_dw(there);
  const DeviceArray<T> dev_dy(dy);
  const auto workspace_of = [](const Conv2dShape& of) {
    return cuda::conv2d_image_workspace(of) / sizeof(double) + 1;
  };
  const DeviceArray<double> workspace(workspace_of(s));
  // of images [n0, n1)
  const auto run = [&](int64_t n0, int64_t n1, float keep) {
    Conv2dShape part = s;
    part.N = n1 - n0;
    const DeviceArray<double> own(workspace_of(part));
    cuda::conv2d_image_backward_weights(kStream, part, dev_x.data() + n0 * s.H * s.W * 3,
                                        dev_dy.data() + n0 * s.H * s.W * s.K, keep, dev_dw.data(),
                                        own.data());
    return dev_dw.values();
  };
  const Floats first = run(0, s.N, beta);
  check_near(first, expected, 0x1p-23);
  if (beta != 0.0f) return;
  CHECK(same_bits(run(0, s.N, 0), first));
  run(0, s.N / 2, 0);
  check_near(run(s.N / 2, s.N, 1), expected, 0x1p-22);
}

}  // namespace

TEST_CASE_TEMPLATE("cuda convolution of images: forward and weights against double", T, bf16, f16,
                   float) {
  for (const Conv2dShape& s : kShapes) {
    CAPTURE(s.H);
    CAPTURE(s.K);
    for (const bool bias : {false, true}) check_forward<T>(s, bias);
    for (const float beta : {0.0f, 1.0f}) check_weights<T>(s, beta);
  }
}

// What is outside is not read as something that a product with 0 would leave out.
TEST_CASE_TEMPLATE("cuda convolution of images: what is no number stays where it is seen", T, bf16,
                   float) {
  const Conv2dShape s = shape(2, 5, 7, 32);
  const std::vector<size_t> spoilt = {0, 1, 2, 3 * (35 + 2 * 7 + 3) + 1};
  check_forward<T>(s, false, spoilt);
  check_weights<T>(s, 0, spoilt);
}

TEST_CASE("cuda convolution of images: nothing to do") {
  const Conv2dShape none = shape(0, 8, 8, 32);
  const Floats there = draw(int64_t{32 * 27}, 1);
  const DeviceArray<float> dw(there);
  const DeviceArray<double> workspace(cuda::conv2d_image_workspace(none) / sizeof(double) + 1);
  const bf16* const dy = nullptr;
  cuda::conv2d_image(kStream, none, nullptr, nullptr, nullptr, static_cast<bf16*>(nullptr));
  cuda::conv2d_image_backward_weights(kStream, none, nullptr, dy, 1, dw.data(), workspace.data());
  CHECK(same_bits(dw.values(), there));
  cuda::conv2d_image_backward_weights(kStream, none, nullptr, dy, 0, dw.data(), workspace.data());
  CHECK(same_bits(dw.values(), Floats(there.size(), 0.0f)));
}

// More matrices than blocks, so that warps take several, and a ragged end.
TEST_CASE_TEMPLATE("cuda convolution of images: many (plain machine alone)", T, bf16, float) {
  check_forward<T>(shape(9, 61, 67, 64), true);
  check_weights<T>(shape(9, 61, 67, 64), 0);
}

}  // namespace expunge::kernels
