#include <doctest/doctest.h>

#include <cmath>

#include "core/param_store.h"
#include "kernels/batch_norm.h"
#include "kernels/elementwise.h"
#include "kernels/elementwise_math.h"
#include "kernels/optim_step.h"
#include "kernels/reduce.h"
#include "support/op_harness.h"

namespace expunge::test {

TEST_CASE("batch norm: parameter gradients of row ranges add up to the whole") {
  const kernels::BatchNormShape s{.pixels = 50, .C = 3, .relu = false};
  const Tensor x = to_tensor(normal_values(150, 1), {50, 3}),
               dy = to_tensor(normal_values(150, 2), {50, 3});
  const Tensor mean = Tensor::of({0.1f, 0.2f, 0.3f}), invstd = Tensor::of({1, 2, 3});
  double g[3][3], gx[3][3];
  const int64_t ranges[3][2] = {{0, 50}, {0, 13}, {13, 50}};
  for (int r = 0; r < 3; ++r) {
    const auto [begin, end] = ranges[r];
    const float* rows = x.data() + begin * s.C;
    kernels::batch_norm_sums({}, kernels::BatchNormSums{.in = {.shape = {end - begin, s.C, s.relu},
                                                               .x = rows,
                                                               .y = nullptr,
                                                               .dy = dy.data() + begin * s.C,
                                                               .mean = mean.data(),
                                                               .invstd = invstd.data(),
                                                               .line = nullptr},
                                                        .sum_g = g[r],
                                                        .sum_gx = gx[r]});
  }
  for (int c = 0; c < 3; ++c) {
    CHECK(g[1][c] + g[2][c] == doctest::Approx(g[0][c]).epsilon(1e-5));
    CHECK(gx[1][c] + gx[2][c] == doctest::Approx(gx[0][c]).epsilon(1e-5));
  }
}

TEST_CASE(
    "batch norm: statistics survive a mean a thousand times the deviation; running ones follow "
    "PyTorch") {
  Tensor x({4096, 2});
  const Values noise = normal_values(4096, 3);
  double mean = 0, m2 = 0;
  for (int64_t i = 0; i < 4096; ++i) {
    x.data()[2 * i] = 1000.0f + static_cast<float>(noise[static_cast<size_t>(i)]);
    x.data()[2 * i + 1] = static_cast<float>(noise[static_cast<size_t>(i)]);
    mean += double{x.data()[2 * i]} / 4096;
  }
  for (int64_t i = 0; i < 4096; ++i)
    m2 += (double{x.data()[2 * i]} - mean) * (double{x.data()[2 * i]} - mean);
  Tensor running_mean = Tensor::of({5, 5}), running_var = Tensor::of({2, 2}), got({2}), invstd({2}),
         line({2, 2});
  const Tensor gamma = Tensor::of({2, 3}), beta = Tensor::of({-1, 1});
  kernels::batch_norm_statistics(
      {}, kernels::BatchNormStatistics{.shape = {.pixels = 4096, .C = 2},
                                       .x = x.data(),
                                       .eps = 1e-5f,
                                       .running = {running_mean.data(), running_var.data(), 0.1f},
                                       .gamma = gamma.data(),
                                       .beta = beta.data(),
                                       .mean = got.data(),
                                       .invstd = invstd.data(),
                                       .line = line.data()});
  CHECK(double{got.data()[0]} == doctest::Approx(mean).epsilon(1e-7));
  CHECK(double{invstd.data()[0]} == doctest::Approx(1 / std::sqrt(m2 / 4096 + 1e-5)).epsilon(1e-5));
  for (int64_t c = 0; c < 2; ++c) {  // gamma (x - mean) invstd + beta
    CHECK(line.data()[c] == gamma.data()[c] * invstd.data()[c]);
    CHECK(line.data()[2 + c] == beta.data()[c] - got.data()[c] * line.data()[c]);
  }
  CHECK(double{running_mean.data()[0]} == doctest::Approx(0.9 * 5 + 0.1 * mean).epsilon(1e-6));
  CHECK(double{running_var.data()[0]} == doctest::Approx(0.9 * 2 + 0.1 * m2 / 4095).epsilon(1e-6));
}

TEST_CASE("ReLU: NaN stays NaN, alone and behind batch norm") {
  const float nan = std::nanf("");
  const Tensor x = Tensor::of({-1, nan, 2}), y({3}), line = Tensor::of({1, 1, 1, 0, 0, 0});
  kernels::elementwise<math::Relu>({}, 3, x.data(), y.data());
  CHECK(y.data()[0] == 0);
  CHECK(std::isnan(y.data()[1]));
  CHECK(y.data()[2] == 2);
  kernels::batch_norm_apply({},
                            kernels::BatchNormApply{.shape = {.pixels = 1, .C = 3, .relu = true},
                                                    .x = x.data(),
                                                    .line = line.data(),
                                                    .residual = nullptr,
                                                    .y = y.data()});
  CHECK(y.data()[0] == 0);
  CHECK(std::isnan(y.data()[1]));
  CHECK(y.data()[2] == 2);
}

TEST_CASE("sums: exact on integers, the same bits for 1 and 2 threads, NaN found") {
  for (int64_t n : {0, 1, 31, 4097, 100003}) {
    Tensor x({n});
    for (int64_t i = 0; i < n; ++i) x.data()[i] = static_cast<float>(i % 7) - 3.0f;
    double plain = 0, squares = 0, absolute = 0;
    for (float v : x.span())
      plain += double{v}, squares += double{v} * double{v}, absolute += std::abs(double{v});
    CHECK(kernels::sum({}, n, x.data()) == plain);
    double sum_of_squares = -1;
    kernels::sum_to({}, kernels::Term::square, n, x.data(), &sum_of_squares);
    CHECK(sum_of_squares == squares);
    CHECK(kernels::dot({}, n, x.data(), x.data()) == squares);
    float sum = 0;
    kernels::sum_to({}, kernels::Term::absolute, n, x.data(), 1.0, &sum);
    CHECK(sum == static_cast<float>(absolute));
    CHECK(kernels::all_finite({}, n, x.data()));
    if (n == 0) continue;
    x.data()[n - 1] = std::nanf("");
    CHECK_FALSE(kernels::all_finite({}, n, x.data()));
  }
}

TEST_CASE("optimizers: ten steps against the formulas in double, sizes 0, 1, 31, 4097") {
  for (int64_t n : {0, 1, 31, 4097})
    for (bool flag : {false, true}) {  // nesterov; decoupled decay
      const Values start = normal_values(n, 1);
      Tensor w = to_tensor(start, {n}), v = Tensor::zeros({n}), aw = w.clone(), am = v.clone(),
             as = v.clone();
      Values rw = start, rv(start.size(), 0.0), raw = start, rm = rv, rs = rv;
      for (int t = 1; t <= 10; ++t) {
        const Values g = normal_values(n, 100 + static_cast<uint64_t>(t));
        const Tensor grad = to_tensor(g, {n});
        const kernels::OptimStep sgd{{.sgd = {0.1f, 0.9f, 5e-4f, flag}}, 0.5f};
        kernels::optim_step({}, n, &sgd, nullptr, grad.data(), w.data(), v.data(), nullptr);
        const double b1 = 1 - std::pow(0.9, t), b2 = 1 - std::pow(0.999, t);
        const kernels::OptimStep adam{
            {.is_adam = true,
             .adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, static_cast<float>(b1),
                      static_cast<float>(b2), flag}}};
        kernels::optim_step({}, n, &adam, nullptr, grad.data(), aw.data(), am.data(), as.data());
        for (size_t i = 0; i < g.size(); ++i) {
          const double d = 0.5 * g[i] + 5e-4 * rw[i];
          rv[i] = 0.9 * rv[i] + d;
          rw[i] -= 0.1 * (flag ? d + 0.9 * rv[i] : rv[i]);
          double ga = g[i];
          if (flag)
            raw[i] -= 1e-2 * 0.01 * raw[i];
          else
            ga += 0.01 * raw[i];
          rm[i] = 0.9 * rm[i] + 0.1 * ga;
          rs[i] = 0.999 * rs[i] + 0.001 * ga * ga;
          raw[i] -= 1e-2 * (rm[i] / b1) / (std::sqrt(rs[i] / b2) + 1e-8);
        }
      }
      for (size_t i = 0; i < rw.size(); ++i) {
        CHECK(std::abs(double{w.data()[i]} - rw[i]) < 3e-6);  // ten float steps of size 0.1
        CHECK(std::abs(double{aw.data()[i]} - raw[i]) < 3e-6);
      }
    }
}

}  // namespace expunge::test
