#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "kernels/conv2d.h"
#include "nn/network.h"
#include "nn/ops.h"
#include "support/every_isa.h"
#include "support/fenced.h"
#include "support/op_harness.h"
#include "support/with_algo.h"

// A convolution with batch norm done while its outputs are in the cache. The two calls one after
// the other are held against double by op_table.cpp; here are the same bits.
namespace expunge::test {
namespace {

using kernels::Conv2dShape;
using kernels::ConvAlgo;

constexpr float kEps = 1e-5f;

struct Case {
  Conv2dShape s;
  Tensor x, w, bias, residual, mean, var, gamma, beta, invstd, line;
  explicit Case(const Conv2dShape& shape)
      : s(shape),
        x(drawn(s.N * s.H * s.W * s.C, 1)),
        w(drawn(s.K * s.R * s.S * s.C, 2)),
        bias(drawn(s.K, 3)),
        residual(drawn(pixels() * s.K, 4)),
        mean(drawn(s.K, 5)),
        var(drawn(s.K, 6)),
        gamma(drawn(s.K, 7)),
        beta(drawn(s.K, 8)),
        invstd({s.K}),
        line({2, s.K}) {
    for (float& v : var.span()) v *= v;
    kernels::batch_norm_known({}, {s.K, mean.data(), var.data(), kEps, gamma.data(), beta.data(),
                                   invstd.data(), line.data()});
  }
  int64_t pixels() const { return s.N * s.P() * s.Q(); }
  static Tensor drawn(int64_t n, uint32_t key) { return to_tensor(normal_values(n, key), {n}); }
};

bool same(const float* a, const float* b, int64_t n) {
  return std::memcmp(a, b, static_cast<size_t>(n) * sizeof(float)) == 0;
}

void check(const Case& c, bool bias, bool relu, bool adds) {
  const int64_t n = c.pixels() * c.s.K;
  const float* b = bias ? c.bias.data() : nullptr;
  const Tensor apart({n});
  kernels::conv2d({}, c.s, c.x.data(), c.w.data(), b, apart.data());
  kernels::batch_norm_apply({},
                            kernels::BatchNormApply{.shape = {c.pixels(), c.s.K, relu},
                                                    .x = apart.data(),
                                                    .line = c.line.data(),
                                                    .residual = adds ? c.residual.data() : nullptr,
                                                    .y = apart.data()});
  for (const auto& [threads, fence] : {std::pair{1, Fence::behind}, std::pair{3, Fence::before}}) {
    set_thread_count(threads);
    const Fenced y(n, fence), residual(c.residual.data(), n, fence);
    std::fill_n(y.data(), n, std::nanf(""));
    const kernels::ConvNorm norm{
        .line = c.line.data(), .residual = adds ? residual.data() : nullptr, .relu = relu};
    kernels::conv2d_batch_norm({}, c.s, c.x.data(), c.w.data(), b, norm, y.data());
    CHECK(same(y.data(), apart.data(), n));
  }
  set_thread_count(0);
}

}  // namespace

TEST_CASE("conv2d with batch norm: the bits of the two one after the other, fenced arrays") {
  // N, H, W, C, K, R, S, stride, pad: whole and part tiles of both algorithms, blocks of channels
  // and a few, groups of images, strides
  for (const Conv2dShape& s :
       {Conv2dShape{2, 8, 8, 16, 32, 3, 3, 1, 1}, Conv2dShape{3, 7, 5, 3, 40, 3, 3, 1, 1},
        Conv2dShape{2, 6, 9, 20, 70, 3, 3, 2, 1}, Conv2dShape{1, 1, 1, 5, 1, 3, 3, 1, 1},
        Conv2dShape{5, 33, 31, 8, 20, 3, 3, 1, 1}, Conv2dShape{3, 8, 8, 32, 48, 1, 1, 2, 0}}) {
    CAPTURE(s.H);
    CAPTURE(s.K);
    const Case c(s);
    for (const ConvAlgo algo : {ConvAlgo::direct, ConvAlgo::winograd}) {
      const WithAlgo with(algo);
      on_every_isa([&] {
        for (const bool relu : {false, true})
          for (const bool adds : {false, true}) check(c, relu != adds, relu, adds);
      });
    }
  }
}

TEST_CASE("batch norm with known statistics: the same bits on every instruction set") {
  for (const auto& [pixels, C] : {std::pair<int64_t, int64_t>{1, 1}, {37, 17}, {500, 40}}) {
    const Case c(Conv2dShape{pixels, 1, 1, 1, C, 1, 1, 1, 0});
    const Tensor x = Case::drawn(pixels * C, 9);
    x.data()[pixels * C - 1] = -0.0f;
    x.data()[0] = std::nanf("");
    std::vector<Tensor> found;
    const Tensor own_line = Case::drawn(2 * C, 11);
    for (const bool relu : {false, true}) {
      std::vector<Tensor> with_line;  // of the residual
      on_every_isa([&] {
        const Tensor y({pixels * C});
        kernels::batch_norm_apply({}, kernels::BatchNormApply{.shape = {pixels, C, relu},
                                                              .x = x.data(),
                                                              .line = c.line.data(),
                                                              .residual = c.residual.data(),
                                                              .y = y.data(),
                                                              .residual_line = own_line.data()});
        with_line.push_back(y);
      });
      for (const Tensor& y : with_line) CHECK(same(y.data(), with_line[0].data(), pixels * C));
      found.clear();
      on_every_isa([&] {
        const Tensor y({pixels * C});
        kernels::batch_norm_apply(
            {}, kernels::BatchNormApply{.shape = {pixels, C, relu},
                                        .x = x.data(),
                                        .line = c.line.data(),
                                        .residual = relu ? c.residual.data() : nullptr,
                                        .y = y.data()});
        found.push_back(y);
      });
      for (const Tensor& y : found) CHECK(same(y.data(), found[0].data(), pixels * C));
      for (int64_t i = 1; i < pixels * C; ++i) {
        const auto k = static_cast<size_t>(i % C);
        const double norm = (double{x.data()[i]} - double{c.mean.data()[k]}) /
                                std::sqrt(double{c.var.data()[k]} + double{kEps}) *
                                double{c.gamma.data()[k]} +
                            double{c.beta.data()[k]} + (relu ? double{c.residual.data()[i]} : 0);
        CHECK(double{found[0].data()[i]} ==
              doctest::Approx(relu ? std::max(norm, 0.0) : norm).epsilon(1e-4).scale(1));
      }
      CHECK(std::isnan(found[0].data()[0]));
    }
  }
}

TEST_CASE("conv2d_batch_norm: refuses batch norm of other channels, residuals of another shape") {
  const Var x{Tensor::zeros({2, 4, 4, 3}), Var::kNone}, w{Tensor::zeros({5, 3, 3, 3}), Var::kNone},
      of_5{Tensor::zeros({5}), Var::kNone}, of_3{Tensor::zeros({3}), Var::kNone};
  const auto run = [&](const Var& gamma, const Var* residual) {
    nn::conv2d_batch_norm({}, w, nullptr, {.pad = 1},
                          {x, gamma, gamma, gamma.value, gamma.value, residual}, {});
  };
  CHECK_NOTHROW(run(of_5, nullptr));
  CHECK_THROWS_WITH(run(of_3, nullptr), doctest::Contains("gamma must be (5), got (3)"));
  CHECK_THROWS_WITH(run(of_5, &x), doctest::Contains("residual (2, 4, 4, 3) on y (2, 4, 4, 5)"));
}

TEST_CASE("conv2d_batch_norm: pooled, the bits of max-pooling behind it, where a side is odd too") {
  for (const auto& [H, W] : {std::pair<int64_t, int64_t>{6, 4}, {5, 4}, {6, 7}}) {
    const int64_t size = 2 * H * W * 3, C = 5;
    const Var x{to_tensor(normal_values(size, 1), {2, H, W, 3}), Var::kNone},
        w{to_tensor(normal_values(C * 27, 2), {C, 3, 3, 3}), Var::kNone},
        of_C{Case::drawn(C, 3), Var::kNone};
    const Tensor var = Case::drawn(C, 4);
    for (float& v : var.span()) v *= v;
    const auto run = [&](bool pool) {
      return nn::conv2d_batch_norm({}, w, nullptr, {.pad = 1}, {x, of_C, of_C, of_C.value, var},
                                   {.relu = true, .pool = pool});
    };
    const Tensor whole = run(true).value, apart = nn::max_pool2d({}, run(false)).value;
    REQUIRE(whole.shape() == Shape{2, H / 2, W / 2, C});
    CHECK(same(whole.data(), apart.data(), whole.size()));
  }
}

TEST_CASE("networks: evaluation gives the same bits with a tape, which keeps batch norm apart") {
  for (const char* name : {"smallcnn", "resnet18", "vgg16_bn_lth"}) {
    CAPTURE(name);
    nn::Model model = nn::make_model(name, {});
    nn::initialise(model.params, nn::Init::kaiming, 0);
    const Var x{to_tensor(normal_values(2 * 32 * 32 * 3, 1), {2, 32, 32, 3}), Var::kNone};
    Ctx ctx{.params = &model.params, .batch_norm = BatchNormMode::train};
    model.network->forward(ctx, x);  // running statistics that are not those of the beginning
    ctx.batch_norm = BatchNormMode::eval;
    const Tensor plain = model.network->forward(ctx, x).value;
    Tape tape;
    tape.bind_constants(model.params);
    ctx.tape = &tape;
    const Tensor recorded = model.network->forward(ctx, x).value;
    CHECK(same(plain.data(), recorded.data(), plain.size()));
  }
}

}  // namespace expunge::test
