#include "kernels/conv2d.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "support/every_isa.h"
#include "support/fenced.h"
#include "support/op_harness.h"
#include "support/with_algo.h"

// The direct convolutions; op_table.cpp has more shapes, winograd_test.cpp the other algorithm.
namespace expunge::test {
namespace {

using kernels::Conv2dShape;

constexpr double kTolerance = 1e-5;  // of the largest sum: float sums over some thousand terms
constexpr float kBeta = 0.5f;

// y (N, P, Q, K), dx (N, H, W, C) and dw (K, R, S, C), before bias and beta
struct Results {
  Values y, dx, dw;
};

Results expected(const Conv2dShape& s, const Values& x, const Values& w, const Values& dy) {
  Results r{Values(dy.size()), Values(x.size()), Values(w.size())};
  size_t out = 0;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t p = 0; p < s.P(); ++p)
      for (int64_t q = 0; q < s.Q(); ++q)
        for (int64_t k = 0; k < s.K; ++k, ++out)
          for (int64_t a = 0; a < s.R; ++a)
            for (int64_t b = 0; b < s.S; ++b) {
              const int64_t h = p * s.stride - s.pad + a, v = q * s.stride - s.pad + b;
              if (h < 0 || v < 0 || h >= s.H || v >= s.W) continue;
              size_t i = static_cast<size_t>(((n * s.H + h) * s.W + v) * s.C),
                     j = static_cast<size_t>(((k * s.R + a) * s.S + b) * s.C);
              for (int64_t c = 0; c < s.C; ++c, ++i, ++j) {
                r.y[out] += x[i] * w[j];
                r.dx[i] += dy[out] * w[j];
                r.dw[j] += dy[out] * x[i];
              }
            }
  return r;
}

struct Problem {
  Conv2dShape s;
  Values x, w, dy, bias, before;  // before: what gradients are added to
  explicit Problem(const Conv2dShape& shape)
      : s(shape),
        x(normal_values(s.N * s.H * s.W * s.C, 1)),
        w(normal_values(s.K * s.R * s.S * s.C, 2)),
        dy(normal_values(s.N * s.P() * s.Q() * s.K, 3)),
        bias(normal_values(s.K, 4)),
        before(normal_values(std::max(std::ssize(x), std::ssize(w)), 5)) {}
};

struct Outcome {
  Tensor y, dx, dw;
};

Tensor copy_of(const Fenced& from, int64_t n) {
  Tensor out({n});
  std::copy_n(from.data(), n, out.data());
  return out;
}

// All three directions, on arrays with nothing before or behind them.
Outcome run(const Problem& p, bool add, Fence fence) {
  const auto floats = [](const Values& v) {
    return to_tensor(v, {static_cast<int64_t>(v.size())});
  };
  const auto fenced = [&](const Values& v) {
    return Fenced(floats(v).data(), std::ssize(v), fence);
  };
  const Fenced x = fenced(p.x), w = fenced(p.w), dy = fenced(p.dy), bias = fenced(p.bias);
  const Fenced y(std::ssize(p.dy), fence), dx(std::ssize(p.x), fence), dw(std::ssize(p.w), fence);
  const Tensor before = floats(p.before);
  std::fill_n(y.data(), p.dy.size(), std::nanf(""));
  for (const auto& [to, n] : {std::pair(dx.data(), p.x.size()), std::pair(dw.data(), p.w.size())})
    for (size_t i = 0; i < n; ++i) to[i] = add ? before.data()[i] : std::nanf("");
  const float beta = add ? kBeta : 0.0f;
  kernels::conv2d({}, p.s, x.data(), w.data(), add ? bias.data() : nullptr, y.data());
  kernels::conv2d_backward_data({}, p.s, dy.data(), w.data(), beta, dx.data());
  kernels::conv2d_backward_weights({}, p.s, 0, p.s.N, x.data(), dy.data(), beta, dw.data());
  return {copy_of(y, std::ssize(p.dy)), copy_of(dx, std::ssize(p.x)), copy_of(dw, std::ssize(p.w))};
}

double largest(const Values& values) {
  double top = 1;
  for (double v : values) top = std::max(top, std::abs(v));
  return top;
}

// got = expected + factor other[i mod its size]
double error(const Tensor& got, const Values& expected, double factor, const Values& other) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d =
        std::abs(double{got.data()[i]} - expected[i] - factor * other[i % other.size()]);
    worst = std::max(worst, d == d ? d : 1e30);
  }
  return worst / largest(expected);
}

bool same(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

void check(const Conv2dShape& s) {
  INFO("N " << s.N << " image " << s.H << "x" << s.W << "x" << s.C << " kernel " << s.K << "x"
            << s.R << "x" << s.S << " stride " << s.stride << " pad " << s.pad);
  const Problem p(s);
  const Results e = expected(s, p.x, p.w, p.dy);
  on_every_isa([&] {
    for (bool add : {false, true}) {
      set_thread_count(1);
      const Outcome one = run(p, add, Fence::behind);
      CHECK(error(one.y, e.y, add ? 1 : 0, p.bias) < kTolerance);
      CHECK(error(one.dx, e.dx, add ? kBeta : 0, p.before) < kTolerance);
      CHECK(error(one.dw, e.dw, add ? kBeta : 0, p.before) < kTolerance);
      for (int threads : {2, 4}) {
        set_thread_count(threads);
        const Outcome more = run(p, add, Fence::before);
        CHECK(same(one.y, more.y));
        CHECK(same(one.dx, more.dx));
        CHECK(same(one.dw, more.dw));
      }
    }
  });
  set_thread_count(0);
}

}  // namespace

TEST_CASE("direct conv2d: all directions against double, beta, threads, fenced arrays") {
  const WithAlgo direct(kernels::ConvAlgo::direct);
  // N, H, W, C, K, R, S, stride, pad
  for (const Conv2dShape& s : {
           Conv2dShape{3, 7, 5, 3, 40, 3, 3, 1, 1},    // few channels: outputs across a tile
           Conv2dShape{2, 6, 9, 20, 70, 3, 2, 2, 1},   // the same, part of a block of outputs
           Conv2dShape{2, 5, 6, 33, 13, 3, 3, 1, 1},   // a block and one channel
           Conv2dShape{37, 2, 2, 40, 35, 3, 3, 1, 1},  // taps that no pixel of the image sees alike
           Conv2dShape{29, 1, 1, 9, 33, 3, 3, 1, 1},   // one tap of nine
           Conv2dShape{5, 4, 4, 16, 24, 3, 3, 1, 1},
           Conv2dShape{2, 9, 7, 8, 9, 5, 3, 3, 2},
           Conv2dShape{3, 8, 8, 32, 48, 1, 1, 2, 0},  // inputs that no tap reaches
           Conv2dShape{2, 5, 5, 4, 5, 2, 2, 3, 0},    // rows and columns that none reaches
           Conv2dShape{2, 3, 4, 5, 6, 3, 3, 1, 4},    // outputs that see nothing
           Conv2dShape{1, 6, 6, 7, 3, 4, 4, 1, 2},
           Conv2dShape{67, 1, 1, 50, 31, 1, 1, 1, 0},  // linear
           Conv2dShape{1, 1, 1, 1, 1, 1, 1, 1, 0},
       })
    check(s);
}

TEST_CASE("direct conv2d: groups of images and blocks of channels, same bits for any threads") {
  const WithAlgo direct(kernels::ConvAlgo::direct);
  for (const Conv2dShape& s : {
           Conv2dShape{9, 32, 31, 3, 8, 3, 3, 1, 1},
           Conv2dShape{70, 8, 8, 24, 40, 1, 1, 1, 0},
           Conv2dShape{5, 30, 30, 34, 6, 3, 3, 2, 1},
       })
    check(s);
}

TEST_CASE("direct conv2d: weight gradients of image ranges add up to the whole") {
  const WithAlgo direct(kernels::ConvAlgo::direct);
  for (int64_t channels : {3, 16, 33}) {
    const Conv2dShape s{
        .N = 5, .H = 7, .W = 6, .C = channels, .K = 20, .R = 3, .S = 3, .stride = 2, .pad = 1};
    const Problem p(s);
    const Tensor x = to_tensor(p.x, {std::ssize(p.x)}), dy = to_tensor(p.dy, {std::ssize(p.dy)});
    on_every_isa([&] {
      const Tensor whole({s.K, s.R, s.S, s.C}), parts = empty_like(whole);
      const auto add = [&](int64_t n0, int64_t n1, float beta, const Tensor& dw) {
        kernels::conv2d_backward_weights({}, s, n0, n1, x.data(), dy.data(), beta, dw.data());
      };
      add(0, s.N, 0, whole);
      add(0, 2, 0, parts);
      add(2, 2, 1, parts);  // no image
      add(2, 5, 1, parts);
      CHECK(error(parts, to_values(whole), 0, p.before) < kTolerance);
      add(1, 1, 0, parts);
      CHECK(std::ranges::all_of(parts.span(), [](float v) { return v == 0.0f; }));
    });
  }
}

}  // namespace expunge::test
