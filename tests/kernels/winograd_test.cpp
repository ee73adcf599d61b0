#include "kernels/winograd.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "kernels/isa.h"
#include "nn/ops.h"
#include "support/op_harness.h"
#include "support/with_algo.h"

namespace expunge::test {
namespace {

using kernels::Conv2dShape;
using kernels::ConvAlgo;

// Largest error of an element, of the largest |element|: about ten times that of a plain sum
// (winograd.h).
constexpr double kTolerance = 1e-4;
// Root of the mean square error, of the values' own.
constexpr double kRms = 1e-5;

void check_conv(const reference::Conv& s, bool bias) {
  std::vector<Shape> inputs = {{s.N, s.H, s.W, s.C}, {s.K, s.R, s.S, s.C}};
  if (bias) inputs.push_back({s.K});
  check_op({.name = "winograd " + inputs[0].str() + " * " + inputs[1].str() + " pad " +
                    std::to_string(s.pad),
            .inputs = inputs,
            .op =
                [=](const Ctx& ctx, std::span<const Var> in) {
                  return nn::conv2d(ctx, in[0], in[1], bias ? &in[2] : nullptr, {.pad = s.pad});
                },
            .reference =
                [=](std::span<const Values> in) {
                  return reference::conv2d(s, in[0], in[1], bias ? &in[2] : nullptr);
                },
            .tolerance = kTolerance});
}

struct Arrays {
  Tensor x, w, dy;
  explicit Arrays(const Conv2dShape& s)
      : x(to_tensor(normal_values(s.N * s.H * s.W * s.C, 1), {s.N, s.H, s.W, s.C})),
        w(to_tensor(normal_values(s.K * 9 * s.C, 2), {s.K, 3, 3, s.C})),
        dy(to_tensor(normal_values(s.N * s.P() * s.Q() * s.K, 3), {s.N, s.P(), s.Q(), s.K})) {}
};

bool same(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

double relative_rms(const Tensor& got, const Values& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = double{got.data()[i]} - expected[i];
    error += d * d, size += expected[i] * expected[i];
  }
  return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("winograd: any image size, padding and channel count, forward and both gradients") {
  const WithAlgo winograd(ConvAlgo::winograd);
  // N, H, W, C, K, R, S, stride, pad: parts of tiles, 1x1 images, no and double padding, channels
  // that fill no vector, no tile, and more than one; more tiles than a chunk
  for (const reference::Conv& s : {reference::Conv{2, 8, 8, 16, 32, 3, 3, 1, 1},
                                   {1, 5, 7, 3, 5, 3, 3, 1, 1},
                                   {3, 1, 1, 2, 9, 3, 3, 1, 1},
                                   {2, 2, 3, 33, 17, 3, 3, 1, 1},
                                   {1, 3, 3, 1, 1, 3, 3, 1, 0},
                                   {2, 9, 6, 31, 40, 3, 3, 1, 0},
                                   {1, 4, 5, 18, 7, 3, 3, 1, 2},
                                   {3, 38, 37, 2, 3, 3, 3, 1, 1}})
    for (bool bias : {false, true}) check_conv(s, bias);
}

TEST_CASE("winograd: the error against double is what winograd.h says") {
  const reference::Conv r{2, 8, 8, 256, 24, 3, 3, 1, 1};
  const Conv2dShape s{.N = r.N, .H = r.H, .W = r.W, .C = r.C, .K = r.K, .R = 3, .S = 3, .pad = 1};
  const Arrays a(s);
  Tensor y({s.N, s.P(), s.Q(), s.K});
  const Values expected = reference::conv2d(r, to_values(a.x), to_values(a.w), nullptr);
  for (kernels::Isa isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (!kernels::isa_supported(isa)) continue;
    const kernels::Isa chosen = kernels::isa();
    kernels::set_isa(isa);
    kernels::winograd(s, a.x.data(), a.w.data(), nullptr, {}, y.data());
    kernels::set_isa(chosen);
    const double error = relative_rms(y, expected);
    CHECK_MESSAGE(error < kRms, kernels::isa_name(isa) << ": " << error);
    CHECK(error > 0);
  }
}

TEST_CASE("winograd: same bits for 1, 2 and 4 threads, in one chunk and in many") {
  for (const Conv2dShape& s :
       {Conv2dShape{.N = 3, .H = 7, .W = 8, .C = 40, .K = 70, .R = 3, .S = 3, .pad = 1},
        Conv2dShape{.N = 5, .H = 33, .W = 31, .C = 8, .K = 20, .R = 3, .S = 3, .pad = 1}}) {
    const Arrays a(s);
    Tensor first[3];
    for (int threads : {1, 2, 4}) {
      set_thread_count(threads);
      const Tensor out[] = {empty_like(a.dy), empty_like(a.x), empty_like(a.w)};
      kernels::winograd(s, a.x.data(), a.w.data(), nullptr, {}, out[0].data());
      kernels::winograd_backward_data(s, a.dy.data(), a.w.data(), 0.0f, out[1].data());
      kernels::winograd_backward_weights(s, 0, s.N, a.x.data(), a.dy.data(), 0.0f, out[2].data());
      for (int i = 0; i < 3; ++i) {
        if (threads == 1) first[i] = out[i];
        CHECK(same(first[i], out[i]));
      }
    }
    set_thread_count(0);
  }
}

TEST_CASE("winograd: weight gradients of image ranges add up to the whole") {
  const Conv2dShape s{.N = 5, .H = 7, .W = 6, .C = 17, .K = 9, .R = 3, .S = 3, .pad = 1};
  const Arrays a(s);
  Tensor whole = empty_like(a.w), parts = empty_like(a.w);
  const auto add = [&](int64_t n0, int64_t n1, float beta, const Tensor& dw) {
    kernels::winograd_backward_weights(s, n0, n1, a.x.data(), a.dy.data(), beta, dw.data());
  };
  add(0, s.N, 0, whole);
  add(0, 2, 0, parts);
  add(2, 2, 1, parts);  // no image
  add(2, 5, 1, parts);
  CHECK(relative_rms(parts, to_values(whole)) < kRms);
}

TEST_CASE("conv_algo: the choice is by the shape of the layer, not by the batch") {
  const WithAlgo automatic(ConvAlgo::automatic);
  const auto pick = [](int64_t N, int64_t side, int64_t channels, int64_t stride = 1) {
    return kernels::conv_algo_for({.N = N,
                                   .H = side,
                                   .W = side,
                                   .C = channels,
                                   .K = 64,
                                   .R = 3,
                                   .S = 3,
                                   .stride = stride,
                                   .pad = 1});
  };
  for (int64_t N : {1, 64}) {
    CHECK(pick(N, 32, 64) == ConvAlgo::winograd);
    CHECK(pick(N, 32, 3) == ConvAlgo::direct);  // too few channels
    CHECK(pick(N, 3, 64) == ConvAlgo::direct);  // most of a tile outside of the image
    CHECK(pick(N, 4, 64) == ConvAlgo::winograd);
    CHECK(pick(N, 5, 64) == ConvAlgo::direct);  // 25 of the 64 outputs of four tiles
    CHECK(pick(N, 7, 16) == ConvAlgo::winograd);
    CHECK(pick(N, 32, 64, 2) == ConvAlgo::direct);  // not possible
  }
  {
    const WithAlgo direct(ConvAlgo::direct);
    CHECK(pick(64, 32, 64) == ConvAlgo::direct);
  }
  const WithAlgo winograd(ConvAlgo::winograd);
  CHECK(pick(64, 2, 3) == ConvAlgo::winograd);
  CHECK(pick(64, 32, 64, 2) == ConvAlgo::direct);
  for (ConvAlgo algo : {ConvAlgo::automatic, ConvAlgo::direct, ConvAlgo::winograd})
    CHECK(kernels::conv_algo_of(kernels::conv_algo_name(algo)) == algo);
  CHECK(!kernels::conv_algo_of("fft"));
}

}  // namespace expunge::test
