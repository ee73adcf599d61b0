#include "unlearn/importance.h"

#include <doctest/doctest.h>

#include <cmath>

#include "nn/network.h"
#include "support/op_harness.h"
#include "support/tiny_models.h"

// What fisher and ssd make of importances, and how these are summed.
namespace expunge::unlearn {
namespace {

using test::tiny;

// Positive numbers from 1e-10 to 1e2, some of them 0.
LongSum information_of(const ParamStore& params) {
  LongSum sum(params);
  const Tensor terms = params.make_buffer();
  for (const Range& range : params.parameters()) {
    const auto normal = test::normal_values(range.size, static_cast<uint64_t>(range.offset) + 1);
    for (int64_t i = 0; i < range.size; ++i)
      if (i % 7 != 0)
        terms.data()[range.offset + i] =
            static_cast<float>(std::pow(10.0, 3 * double{normal[static_cast<size_t>(i)]} - 4));
  }
  sum.add(1.0 / 3, terms);  // so that there is a rest
  return sum;
}

// var of one element, by PyTorch's shapes: (K, C, R, S) and (out, in), the mean over dimension 1.
double expected_variance(const Range& range, int64_t i, const LongSumHere& information,
                         double alpha, bool last, int64_t forgotten_class) {
  const auto single = [&](int64_t j) {
    return alpha * std::min(1 / (information[range.offset + j] + 1e-8), last ? 1e2 : 1e3);
  };
  double var = single(i);
  if (range.shape.rank() > 1) {
    const int64_t C = range.shape[range.shape.rank() - 1];
    var = 0;
    for (int64_t c = 0; c < C; ++c) var += single(i / C * C + c) / static_cast<double>(C);
  }
  const int64_t row = i / (range.size / range.shape[0]);
  if (last && row == forgotten_class) var = 1e-4;
  return last || range.shape.rank() == 1 ? 10 * var : var;
}

bool is_last(const Range& range) {
  return range.name.starts_with("fc2");
}

}  // namespace

TEST_CASE("long sum: keeps what a float sum loses") {
  const nn::Model model = tiny();
  LongSum sum(model.params), squares(model.params);
  const Tensor x = model.params.make_buffer();
  float plain = 0;
  double exact = 0, exact_squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const float term = 1.0f / static_cast<float>(1 + i % 97);
    x.data()[5] = -term;
    sum.add(-1e-3, x);
    squares.add_squares(1e-3, x);
    plain += 1e-3f * term;
    exact += 1e-3 * double{term}, exact_squares += 1e-3 * double{term} * double{term};
  }
  CHECK(std::abs(sum.here()[5] - exact) < 1e-11 * exact);
  CHECK(std::abs(squares.here()[5] - exact_squares) < 1e-11 * exact_squares);
  CHECK(std::abs(double{plain} - exact) > 1e-7 * exact);
  CHECK(sum.nearest().data()[5] == static_cast<float>(sum.here()[5]));
  CHECK(sum.here()[4] == 0);
  sum.zero();
  CHECK(sum.here()[5] == 0);
}

TEST_CASE("fisher: the variance of every element, by the formula") {
  const nn::Model model = tiny();
  const LongSum information = information_of(model.params);
  for (const int64_t forgotten : {int64_t{-1}, int64_t{2}}) {
    const Tensor variance =
        fisher_variance(model.params, information, {.alpha = 1e-3, .forgotten_class = forgotten});
    for (const Range& range : model.params.parameters())
      for (int64_t i = 0; i < range.size; ++i) {
        const double expected =
            expected_variance(range, i, information.here(), 1e-3, is_last(range), forgotten);
        CHECK(std::abs(double{variance.data()[range.offset + i]} - expected) <= 1e-6 * expected);
      }
  }
}

TEST_CASE("fisher: the noise has this variance, and a forgotten class starts from 0") {
  const nn::Model model = tiny();
  const FisherConfig config{.alpha = 1e-3, .forgotten_class = 2};
  const Tensor variance = fisher_variance(model.params, information_of(model.params), config);
  constexpr int kSeeds = 40;
  double n = 0, sum = 0, squares = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    ParamStore noisy = model.params.clone();
    add_fisher_noise(noisy, variance, config, seed);
    for (const Range& range : model.params.parameters())
      for (int64_t i = 0; i < range.size; ++i) {
        const int64_t at = range.offset + i, row = i / (range.size / range.shape[0]);
        const double from =
            is_last(range) && row == 2 ? 0 : double{model.params.values().data()[at]};
        const double z =
            (double{noisy.values().data()[at]} - from) / std::sqrt(double{variance.data()[at]});
        n += 1, sum += z, squares += z * z;
      }
  }
  // n standard normal numbers: the sum has variance n, the sum of squares mean n, variance 2 n.
  CHECK(n == kSeeds * static_cast<double>(model.parameter_count()));
  CHECK(std::abs(sum) < 4 * std::sqrt(n));
  CHECK(std::abs(squares - n) < 4 * std::sqrt(2 * n));
}

TEST_CASE("fisher: a seed decides the noise") {
  const nn::Model model = tiny();
  const Tensor variance = fisher_variance(model.params, information_of(model.params), {});
  const auto noisy = [&](uint64_t seed) {
    ParamStore params = model.params.clone();
    add_fisher_noise(params, variance, {}, seed);
    return std::vector<float>(params.values().span().begin(), params.values().span().end());
  };
  CHECK(noisy(1) == noisy(1));
  CHECK(noisy(1) != noisy(2));
}

TEST_CASE("ssd: every element by the formula, where importances are extreme too") {
  const nn::Model model = tiny();
  ParamStore params = model.params.clone();
  const LongSum forget_there = information_of(params);
  LongSum all_there(params);
  const Tensor shares = params.make_buffer();
  for (const Range& range : params.parameters())
    for (int64_t i = 0; i < range.size; ++i)
      if (i % 5 != 0)
        shares.data()[range.offset + i] =
            forget_there.nearest().data()[range.offset + i] * (i % 3 == 0 ? 0.01f : 2);
  all_there.add(1.0 / 3, shares);
  const LongSumHere forget = forget_there.here(), all = all_there.here();
  const int64_t selected = dampen(params, forget_there, all_there, {.select = 10, .dampen = 3});
  int64_t expected = 0;
  for (const Range& range : params.parameters())
    for (int64_t i = range.offset; i < range.offset + range.size; ++i) {
      const bool chosen = forget[i] > 10 * all[i];
      expected += chosen;
      const double factor = chosen ? std::min(1.0, 3 * all[i] / forget[i]) : 1;
      CHECK(params.values().data()[i] ==
            static_cast<float>(double{model.params.values().data()[i]} * factor));
    }
  CHECK(selected == expected);
  CHECK(selected > 0);
}

}  // namespace expunge::unlearn
