#include "unlearn/estimator.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/parallel.h"
#include "nn/ops.h"
#include "support/error.h"
#include "support/op_harness.h"
#include "support/tiny_models.h"

namespace expunge::unlearn {
namespace {

using test::tiny;

constexpr int64_t kImages = 6, kClasses = 5, kPixels = 8 * 8 * 3;

// The gradient of CE over images [first, first + n), with or without somebody who watches.
Tensor gradient(const nn::Model& model, int64_t first, int64_t n, BatchNormMode batch_norm,
                SliceStatistics* slices = nullptr) {
  const auto pixels = test::normal_values(kImages * kPixels, 11);
  const auto begin = pixels.begin() + first * kPixels;
  const Tensor x = test::to_tensor({begin, begin + n * kPixels}, {n, 8, 8, 3});
  Tensor labels({n}, DType::i32);
  for (int64_t i = 0; i < n; ++i)
    labels.as<int32_t>()[i] = static_cast<int32_t>((first + i) % kClasses);
  const Tensor grads = model.params.make_buffer();
  Tape tape;
  if (slices != nullptr) slices->start(n);
  tape.bind(model.params, {grads, 0.0f}, slices);
  const Ctx ctx{.params = &model.params, .tape = &tape, .batch_norm = batch_norm};
  tape.backward(nn::cross_entropy(ctx, model.network->forward(ctx, {x, Var::kNone}), labels));
  return grads;
}

// SE^2 of every parameter, from passes over single images: in eval mode they do not see each other.
std::vector<double> reference_error(const nn::Model& model, int64_t k) {
  std::vector<Tensor> own;
  for (int64_t i = 0; i < kImages; ++i) own.push_back(gradient(model, i, 1, BatchNormMode::eval));
  std::vector<double> error;
  for (int64_t e = 0; e < own[0].size(); ++e) {
    const auto mean = [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) sum += double{own[static_cast<size_t>(i)].data()[e]};
      return sum / static_cast<double>(end - begin);
    };
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) {
      const ImageRange images = image_slice(kImages, k, j);
      const double d = mean(images.begin, images.end) - mean(0, kImages);
      sum += static_cast<double>(images.end - images.begin) * d * d;
    }
    error.push_back(sum / static_cast<double>((k - 1) * kImages));
  }
  return error;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

double largest(const Tensor& t) {
  double most = 0;
  for (float v : t.span()) most = std::max(most, std::abs(double{v}));
  return most;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double most = 0;
  for (int64_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(double{a.data()[i]} - double{b.data()[i]}));
  return most;
}

}  // namespace

TEST_CASE("microbatch, persample: SE^2 against passes over single images") {
  const nn::Model model = tiny();
  const Tensor whole = gradient(model, 0, kImages, BatchNormMode::eval);
  for (const int asked : {2, 4, 6, 8, 0}) {  // 4: uneven; 8: more than images; 0: persample
    CAPTURE(asked);
    SliceStatistics slices(asked, model.params);
    const Tensor sum = gradient(model, 0, kImages, BatchNormMode::eval, &slices);
    CHECK(largest_difference(sum, whole) < 1e-6 * largest(whole));
    const int64_t k = asked == 0 ? kImages : std::min<int64_t>(asked, kImages);
    CHECK(slices.degrees() == k - 1);
    const std::vector<double> expected = reference_error(model, k);
    int64_t nonzero = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double got = double{slices.squared_error().span()[i]};
      // rounding of a slice's gradient, 1e-7 of the largest, is what a small SE ends in
      const double slack = 1e-6 * largest(whole);
      CHECK(std::abs(std::sqrt(got) - std::sqrt(expected[i])) <
            1e-4 * std::sqrt(expected[i]) + slack);
      nonzero += expected[i] > 1e-12;
    }
    CHECK(nonzero > 250);
  }
}

TEST_CASE("microbatch, persample: with batch statistics the slices still sum to the gradient") {
  const nn::Model model = tiny();
  const Tensor whole = gradient(model, 0, kImages, BatchNormMode::frozen);
  for (const int asked : {3, 0}) {
    SliceStatistics slices(asked, model.params);
    const Tensor sum = gradient(model, 0, kImages, BatchNormMode::frozen, &slices);
    CHECK(largest_difference(sum, whole) < 1e-6 * largest(whole));
  }
}

TEST_CASE("microbatch, persample: same bits for any thread count") {
  const nn::Model model = tiny();
  for (const int asked : {4, 0}) {
    SliceStatistics one(asked, model.params), two(asked, model.params);
    set_thread_count(1);
    const Tensor a = gradient(model, 0, kImages, BatchNormMode::frozen, &one);
    set_thread_count(2);
    const Tensor b = gradient(model, 0, kImages, BatchNormMode::frozen, &two);
    set_thread_count(0);
    CHECK(same_bits(a, b));
    CHECK(same_bits(one.squared_error(), two.squared_error()));
  }
}

TEST_CASE("microbatch, persample: a batch of one image says nothing; unused parameters are 0") {
  const nn::Model model = tiny();
  for (const int asked : {4, 0}) {
    SliceStatistics slices(asked, model.params);
    gradient(model, 0, 1, BatchNormMode::eval, &slices);
    for (const Range& range : model.params.parameters())
      for (float e : ParamStore::view(slices.squared_error(), range).span())
        CHECK(e == std::numeric_limits<float>::infinity());
    CHECK(slices.degrees() == 1);
    slices.start(kImages);
    CHECK(largest(slices.squared_error()) == 0);
  }
}

TEST_CASE("microbatch: gradients that cannot be had by images are refused and named") {
  ParamStore params;
  params.add_parameter({.name = "w", .shape = {2, 2}});
  params.allocate();
  const Var x{Tensor::zeros({4, 2}), Var::kNone};
  const auto pass = [&](auto loss) {
    SliceStatistics slices(2, params);
    slices.start(4);
    Tape tape;
    tape.bind(params, {params.make_buffer(), 0.0f}, &slices);
    const Ctx ctx{.params = &params, .tape = &tape};
    tape.backward(loss(ctx, ctx.param(0)));
  };
  const auto twice = [&](const Ctx& ctx, const Var& w) {
    return nn::l2(ctx, nn::linear(ctx, nn::linear(ctx, x, w, nullptr), w, nullptr));
  };
  const auto penalty = [](const Ctx& ctx, const Var& w) { return nn::l2(ctx, w); };
  CHECK(test::error_code([&] { pass(twice); }) == ExitCode::usage);
  CHECK(test::contains(test::error_text([&] { pass(twice); }), "parameter w: its gradient"));
  CHECK(test::error_code([&] { pass(penalty); }) == ExitCode::usage);
  CHECK(test::contains(test::error_text([&] { pass(penalty); }), "parameter w: an operation"));
}

TEST_CASE("estimators: names, values, options in any order, and what is refused") {
  const auto parse = EstimatorSpec::parse;
  CHECK(parse("microbatch").slices == 8);
  CHECK(parse("microbatch:16").slices == 16);
  CHECK(parse("persample").slices == 0);
  CHECK(parse("persample").student);
  CHECK_FALSE(parse("persample").shrink);
  for (const char* text : {"welford:4,cdf=normal,shrink=on", "welford:4,shrink=on,cdf=normal"}) {
    CHECK(parse(text).block == 4);
    CHECK(parse(text).shrink);
    CHECK_FALSE(parse(text).student);
  }
  CHECK_FALSE(parse("ema:0.9,shrink=off").shrink);
  for (const char* bad : {"paper,shrink=on", "paper,shrink=off", "microbatch:1", "microbatch:x",
                          "persample:4", "welford:8,shrink", "welford:8,shrink=on,shrink=on",
                          "welford:8,", "welford:8,cdf=student,cdf=student", "ema:0.9,k=3", ""})
    CHECK_MESSAGE(test::error_code([&] { parse(bad); }) == ExitCode::usage, std::string(bad));
}

}  // namespace expunge::unlearn
