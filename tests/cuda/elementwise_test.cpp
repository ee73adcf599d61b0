#include "kernels/elementwise.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "cuda/both.h"
#include "kernels/elementwise_math.h"
#include "support/error.h"

namespace expunge::kernels {
namespace {

using namespace test;

// exp, tanh and erfc of another library: a few units in the last place, and the values are near 1
constexpr double kLibrary = 1e-6;

struct Function {
  std::function<double(double)> f, df;
};

template <class F>
void check_function(const Function& exact) {
  for (size_t n : kSizes)
    for (float beta : {0.0f, 1.0f, 0.5f}) {
      CAPTURE(n);
      CAPTURE(beta);
      const auto count = static_cast<int64_t>(n);
      // beta 0 must not read what is there
      const Floats x = draw(n, 1), dy = draw(n, 2),
                   before = beta == 0.0f ? Floats(n, std::nanf("")) : draw(n, 3);
      const DeviceArray<float> dev_x(x), dev_dy(dy), dev_y(n), dev_dx(before);
      cuda::elementwise<F>(kStream, count, dev_x.data(), dev_y.data());
      cuda::elementwise_backward<F>(kStream, count, dev_x.data(), dev_y.data(), dev_dy.data(), beta,
                                    dev_dx.data());
      const Floats y = dev_y.values(), dx = dev_dx.values();
      for (size_t i = 0; i < n; ++i) {
        const double value = double{x[i]}, old = beta == 0.0f ? 0 : double{beta * before[i]};
        REQUIRE(std::abs(double{y[i]} - exact.f(value)) <= kLibrary * (1 + std::abs(value)));
        const double slope = double{dy[i]} * exact.df(value);
        REQUIRE(std::abs(double{dx[i]} - old - slope) <=
                kLibrary * (1 + std::abs(double{dy[i]}) + std::abs(old)));
      }
    }
}

}  // namespace

TEST_CASE("cuda elementwise: through a ReLU NaN stays NaN") {
  const DeviceArray<float> x(Floats{-1, std::nanf(""), 2}), y(3);
  cuda::elementwise<math::Relu>(kStream, 3, x.data(), y.data());
  const Floats found = y.values();
  CHECK(found[0] == 0);
  CHECK(std::isnan(found[1]));
  CHECK(found[2] == 2);
}

TEST_CASE("cuda elementwise: values and derivatives against double, beta 0, 1, 1/2") {
  check_function<math::Relu>(
      {[](double x) { return x > 0 ? x : 0; }, [](double x) { return x > 0 ? 1 : 0; }});
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  check_function<math::Sigmoid>({sigmoid, [=](double x) { return sigmoid(x) * (1 - sigmoid(x)); }});
  check_function<math::Tanh>({[](double x) { return std::tanh(x); },
                              [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }});
  const auto cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  check_function<math::Gelu>({[=](double x) { return x * cdf(x); },
                              [=](double x) {
                                return cdf(x) +
                                       x * std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979);
                              }});
}

TEST_CASE("cuda elementwise: without library functions the bits are those of the CPU") {
  constexpr DropoutKey kKey{.scalars = {.seed = 7, .step = 3, .pass = 1}, .layer = 2};
  for (size_t n : kSizes)
    for (float beta : {0.0f, 0.5f}) {
      CAPTURE(n);
      CAPTURE(beta);
      const auto count = static_cast<int64_t>(n);
      const Floats a = draw(n, 1), b = draw(n, 2), before(n, beta == 0.0f ? std::nanf("") : 3.0f);
      const DeviceArray<float> dev_a(a), dev_b(b);
      const auto check = [&](const auto& on_cpu, const auto& on_cuda) {
        Floats y = before;
        const DeviceArray<float> dev_y(before);
        on_cpu(y.data());
        on_cuda(dev_y.data());
        CHECK(same_bits(dev_y.values(), y));
      };
      check([&](float* y) { elementwise<math::Relu>({}, count, a.data(), y); },
            [&](float* y) { cuda::elementwise<math::Relu>(kStream, count, dev_a.data(), y); });
      check([&](float* y) { add({}, count, a.data(), b.data(), y); },
            [&](float* y) { cuda::add(kStream, count, dev_a.data(), dev_b.data(), y); });
      check([&](float* y) { axpby({}, count, 1.3f, a.data(), beta, y); },
            [&](float* y) { cuda::axpby(kStream, count, 1.3f, dev_a.data(), beta, y); });
      const float g = 0.7f;
      const DeviceArray<float> dev_g(Floats{g});
      check([&](float* y) { chain({}, count, &g, 3.0f, a.data(), beta, y); },
            [&](float* y) {
              cuda::chain(kStream, count, dev_g.data(), 3.0f, dev_a.data(), beta, y);
            });
      check(
          [&](float* y) { chain_sign({}, count, &g, a.data(), beta, y); },
          [&](float* y) { cuda::chain_sign(kStream, count, dev_g.data(), dev_a.data(), beta, y); });
      check([&](float* y) { dropout({}, count, 0.3f, kKey, a.data(), beta, y); },
            [&](float* y) { cuda::dropout(kStream, count, 0.3f, kKey, dev_a.data(), beta, y); });
    }
}

TEST_CASE("cuda elementwise: lots are in [0, 1) and the same wherever they are drawn") {
  for (const size_t n : kSizes) {
    const auto count = static_cast<int64_t>(n);
    const int64_t first = (int64_t{1} << 33) + 5;
    Floats lots(n);
    draw_lots({}, count, 3, 4, first, lots.data());
    const DeviceArray<float> there(n);
    cuda::draw_lots(kStream, count, 3, 4, first, there.data());
    CHECK(same_bits(there.values(), lots));
    for (const float lot : lots) CHECK((lot >= 0 && lot < 1));
    if (n < 257) continue;
    Floats next_step(n), later(n);
    draw_lots({}, count, 3, 5, first, next_step.data());
    draw_lots({}, count, 3, 4, first + 1, later.data());
    CHECK(next_step != lots);
    CHECK(std::equal(lots.begin() + 1, lots.end(), later.begin()));
  }
}

TEST_CASE("cuda: the stream's device decides; a build without CUDA says so") {
  const Floats x = draw(size_t{100}, 1);
  const DeviceArray<float> dev_x(x), dev_y(x.size());
  const auto run = [&] { elementwise<math::Relu>(kStream, 100, dev_x.data(), dev_y.data()); };
  if constexpr (kCudaBuild) {
    run();
    Floats y(x.size());
    elementwise<math::Relu>({}, 100, x.data(), y.data());
    CHECK(same_bits(dev_y.values(), y));
  } else {
    CHECK(test::error_code(run) == ExitCode::device);
  }
}

}  // namespace expunge::kernels
