#include <cmath>
#include <initializer_list>

#include "device/twins.h"
#include "kernels/cast.h"
#include "kernels/conv2d_taps.h"
#include "support/normal_values.h"

// Gradients of weights in f32, whatever the data are: kernels/conv2d_taps.h, or engines and a cast.
namespace expunge {
namespace {

using namespace test;
using kernels::Conv2dShape;
using kernels::Precision;

// Normal ones of the precision's type, there; and what that holds, here.
struct Drawn {
  Tensor there, here;
  Drawn(const Shape& shape, uint64_t key)
      : there(shape, kernels::activation_type(), device()), here(shape) {
    const auto values = normal_values(here.size(), key);
    std::ranges::copy(values, here.data());
    const Tensor exact = here.to(device());
    kernels::cast(device(), {1, here.size(), here.size()}, exact.values(), 0, there.values());
    kernels::cast(device(), {1, here.size(), here.size()}, there.values(), 0, exact.values());
    here = exact.to({});
  }
};

// dw += dL/dw of images [n0, n1), 3x3, padding 1
void add_gradient(const Conv2dShape& s, int64_t n0, int64_t n1, const Tensor& x, const Tensor& dy,
                  std::vector<double>& dw) {
  for (int64_t p = n0 * s.P() * s.Q(); p < n1 * s.P() * s.Q(); ++p)
    for (int64_t t = 0; t < 9; ++t) {
      const int64_t h = p / s.Q() % s.P() * s.stride - 1 + t / 3,
                    w = p % s.Q() * s.stride - 1 + t % 3;
      if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
      const float* of_x = x.data() + ((p / s.Q() / s.P() * s.H + h) * s.W + w) * s.C;
      for (int64_t k = 0; k < s.K; ++k)
        for (int64_t c = 0; c < s.C; ++c)
          dw[static_cast<size_t>((k * 9 + t) * s.C + c)] +=
              double{dy.data()[p * s.K + k]} * double{of_x[c]};
    }
}

}  // namespace

TEST_CASE("device: gradients of weights add up in f32, slice by slice, whatever the data are") {
  const Conv2dShape taps{.N = 5, .H = 8, .W = 8, .C = 64, .K = 64, .R = 3, .S = 3, .pad = 1},
      other{.N = 5, .H = 7, .W = 6, .C = 16, .K = 24, .R = 3, .S = 3, .stride = 2, .pad = 1};
  for (const Precision precision : {Precision::tf32, Precision::bf16, Precision::fp16}) {
    const WithPrecision with(precision);
    for (const Conv2dShape& s : {taps, other}) {
      const bool by_taps = kernels::is_conv2d_taps(s);
      CAPTURE(static_cast<int>(precision));
      CAPTURE(by_taps);
      const Drawn x({s.N, s.H, s.W, s.C}, 1), dy({s.N, s.P(), s.Q(), s.K}, 2);
      const Drawn before({s.K, 3, 3, s.C}, 3);
      for (const float first : {0.0f, 1.0f}) {
        const Tensor dw = before.here.to(device()).clone();
        std::vector<double> expected(static_cast<size_t>(dw.size()));
        for (size_t i = 0; i < expected.size(); ++i)
          expected[i] = double{first} * double{before.here.data()[i]};
        float beta = first;
        int64_t n0 = 0;
        for (const int64_t n1 : {2, 3, 5}) {
          kernels::conv2d_backward_weights(device(), s, n0, n1, x.there.values(), dy.there.values(),
                                           beta, dw.values());
          add_gradient(s, n0, n1, x.here, dy.here, expected);
          n0 = n1, beta = 1;
        }
        const Tensor found = dw.to({});
        double worst = 0, largest = 0;
        for (size_t i = 0; i < expected.size(); ++i) {
          const double apart = std::abs(double{found.data()[i]} - expected[i]);
          worst = apart <= worst ? worst : apart;  // a NaN is taken
          largest = std::max(largest, std::abs(expected[i]));
        }
        // tf32 has 10 bits, what cuDNN gives of bf16 data 8; what taps give is not rounded
        const bool exact = kCudaEmulated && by_taps && precision != Precision::tf32;
        CHECK(worst <= (exact ? 1e-6 : 8e-3) * largest);
      }
    }
  }
}

}  // namespace expunge
