#include "kernels/pool2d.h"

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

constexpr Pool2dShape kMax[] = {{2, 4, 4, 3, 2, 2, 0},
                                {1, 7, 5, 33, 3, 2, 1},
                                {3, 5, 6, 1, 3, 1, 1},
                                {0, 4, 4, 3, 2, 2, 0},
                                {2, 9, 8, 4, 2, 3, 0}};
constexpr AveragePool2dShape kAverage[] = {
    {.N = 2, .H = 4, .W = 4, .C = 33, .P = 2, .Q = 2, .kernel = 2, .stride = 2},
    {.N = 1, .H = 5, .W = 7, .C = 3, .P = 3, .Q = 4, .kernel = 3, .stride = 2, .pad = 1},
    {.N = 2, .H = 7, .W = 5, .C = 5, .P = 2, .Q = 3},
    {.N = 3, .H = 4, .W = 4, .C = 64, .P = 1, .Q = 1},
    {.N = 1, .H = 2, .W = 3, .C = 2, .P = 5, .Q = 4}};

}  // namespace

TEST_CASE("cuda max pooling: values, places and gradients have the bits of the CPU") {
  for (const Pool2dShape& s : kMax) {
    CAPTURE(s.H);
    CAPTURE(s.C);
    const int64_t in = s.N * s.H * s.W * s.C, out = s.N * s.P() * s.Q() * s.C;
    Floats x = draw(in, 1);
    for (float& v : x) v = std::round(2 * v);  // equal ones: the first is taken
    if (x.size() > 9) x[9] = std::nanf("");
    const DeviceArray<float> dev_x(x), dev_y(static_cast<size_t>(out));
    const DeviceArray<int32_t> dev_which(static_cast<size_t>(out));
    Floats y(static_cast<size_t>(out));
    std::vector<int32_t> which(y.size());
    max_pool2d({}, s, x.data(), y.data(), which.data());
    cuda::max_pool2d(kStream, s, dev_x.data(), dev_y.data(), dev_which.data());
    CHECK(same_bits(dev_y.values(), y));
    CHECK(same_bits(dev_which.values(), which));
    for (const float beta : {0.0f, 1.0f}) {
      const Floats dy = draw(out, 2);
      Floats dx = before(beta, in, 3);
      const DeviceArray<float> dev_dy(dy), dev_dx(dx);
      max_pool2d_backward({}, s, dy.data(), which.data(), beta, dx.data());
      cuda::max_pool2d_backward(kStream, s, dev_dy.data(), dev_which.data(), beta, dev_dx.data());
      CHECK(same_bits(dev_dx.values(), dx));
    }
  }
}

TEST_CASE("cuda average pooling: values and gradients have the bits of the CPU") {
  for (const AveragePool2dShape& s : kAverage) {
    CAPTURE(s.H);
    CAPTURE(s.C);
    const int64_t in = s.N * s.H * s.W * s.C, out = s.N * s.P * s.Q * s.C;
    const Floats x = draw(in, 1), dy = draw(out, 2);
    const DeviceArray<float> dev_x(x), dev_dy(dy), dev_y(dy.size());
    Floats y(dy.size());
    average_pool2d({}, s, x.data(), y.data());
    cuda::average_pool2d(kStream, s, dev_x.data(), dev_y.data());
    CHECK(same_bits(dev_y.values(), y));
    for (const float beta : {0.0f, 1.0f}) {
      Floats dx = before(beta, in, 3);
      const DeviceArray<float> dev_dx(dx);
      average_pool2d_backward({}, s, dy.data(), beta, dx.data());
      cuda::average_pool2d_backward(kStream, s, dev_dy.data(), beta, dev_dx.data());
      CHECK(same_bits(dev_dx.values(), dx));
    }
  }
}

TEST_CASE_TEMPLATE("cuda pooling in 16 bits: what f32 gives for the same numbers, rounded once", T,
                   bf16, f16) {
  for (const Pool2dShape& s : kMax) {
    CAPTURE(s.H);
    const int64_t in = s.N * s.H * s.W * s.C, out = s.N * s.P() * s.Q() * s.C;
    const std::vector<T> x = rounded<T>(draw(in, 1)), dy = rounded<T>(draw(out, 2));
    Floats y(static_cast<size_t>(out)), dx(static_cast<size_t>(in));
    std::vector<int32_t> which(y.size());
    max_pool2d({}, s, widened(x).data(), y.data(), which.data());
    max_pool2d_backward({}, s, widened(dy).data(), which.data(), 0.0f, dx.data());
    const DeviceArray<T> dev_x(x), dev_y(y.size()), dev_dy(dy), dev_dx(dx.size());
    const DeviceArray<int32_t> dev_which(which.size());
    cuda::max_pool2d(kStream, s, dev_x.data(), dev_y.data(), dev_which.data());
    CHECK(same_bits(dev_y.values(), rounded<T>(y)));
    CHECK(same_bits(dev_which.values(), which));
    cuda::max_pool2d_backward(kStream, s, dev_dy.data(), dev_which.data(), 0.0f, dev_dx.data());
    CHECK(same_bits(dev_dx.values(), rounded<T>(dx)));
  }
  for (const AveragePool2dShape& s : kAverage) {
    CAPTURE(s.H);
    const int64_t in = s.N * s.H * s.W * s.C, out = s.N * s.P * s.Q * s.C;
    const std::vector<T> x = rounded<T>(draw(in, 1));
    const Floats dy = draw(out, 2);
    Floats y(dy.size()), dx(x.size());
    average_pool2d({}, s, widened(x).data(), y.data());
    average_pool2d_backward({}, s, dy.data(), 0.0f, dx.data());
    const DeviceArray<T> dev_x(x), dev_dx(x.size());
    const DeviceArray<float> dev_y(y.size()), dev_dy(dy);
    cuda::average_pool2d(kStream, s, dev_x.data(), dev_y.data());
    CHECK(same_bits(dev_y.values(), y));
    cuda::average_pool2d_backward(kStream, s, dev_dy.data(), 0.0f, dev_dx.data());
    CHECK(same_bits(dev_dx.values(), rounded<T>(dx)));
  }
}

}  // namespace expunge::kernels
