#include <doctest/doctest.h>

#include <cmath>

#include "nn/ops.h"
#include "support/op_harness.h"

// One row an op and shape; op_harness.h says what is checked. Tolerances: kElement for a few
// roundings per element, kSum for float sums over some hundred terms.
namespace expunge::test {
namespace {

constexpr double kElement = 2e-6, kSum = 1e-5;

using Inputs = std::span<const Values>;
using Vars = std::span<const Var>;

Values map(const Values& x, double (*f)(double)) {
  Values y;
  for (double v : x) y.push_back(f(v));
  return y;
}

double gelu(double x) {
  return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
}

void check_elementwise(const char* name, Var (*op)(const Ctx&, const Var&), double (*f)(double),
                       double keep_away = 0) {
  for (int64_t n : {0, 1, 31, 4097})
    check_op({.name = name,
              .inputs = {{n}},
              .op = [=](const Ctx& ctx, Vars in) { return op(ctx, in[0]); },
              .reference = [=](Inputs in) { return map(in[0], f); },
              .tolerance = kElement,
              .keep_away = keep_away});
}

}  // namespace

TEST_CASE(
    "elementwise ops: values and gradients match the double reference at sizes 0, 1, 31, 4097") {
  check_elementwise(
      "relu", nn::relu, [](double x) { return std::max(0.0, x); }, 1e-3);
  check_elementwise("sigmoid", nn::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); });
  check_elementwise("tanh", nn::tanh, [](double x) { return std::tanh(x); });
  check_elementwise("gelu", nn::gelu, gelu);
  check_elementwise(
      "scale", [](const Ctx& ctx, const Var& x) { return nn::scale(ctx, x, -1.5f); },
      [](double x) { return -1.5 * x; });
  check_elementwise(
      "l2 gradient", [](const Ctx& ctx, const Var& x) { return nn::add(ctx, x, x); },
      [](double x) { return 2 * x; });
}

TEST_CASE("rows: some of a matrix, the others have no gradient; overlapping ones add up") {
  const auto rows = [](const Values& x, int64_t C, int64_t begin, int64_t end) {
    return Values(x.begin() + begin * C, x.begin() + end * C);
  };
  for (const auto& [b, e] : {std::pair<int64_t, int64_t>{0, 7}, {2, 5}, {6, 7}, {3, 3}}) {
    const int64_t begin = b, end = e;
    check_op({.name = "rows",
              .inputs = {{7, 3}},
              .op = [=](const Ctx& ctx, Vars in) { return nn::rows(ctx, in[0], begin, end); },
              .reference = [=](Inputs in) { return rows(in[0], 3, begin, end); },
              .tolerance = kElement});
  }
  check_op({.name = "rows of rows",
            .inputs = {{7, 3}},
            .op =
                [](const Ctx& ctx, Vars in) {
                  return nn::add(ctx, nn::rows(ctx, in[0], 1, 5), nn::rows(ctx, in[0], 3, 7));
                },
            .reference =
                [=](Inputs in) {
                  Values y = rows(in[0], 3, 1, 5);
                  const Values more = rows(in[0], 3, 3, 7);
                  for (size_t i = 0; i < y.size(); ++i) y[i] += more[i];
                  return y;
                },
            .tolerance = kElement});
}

TEST_CASE("add: both inputs get the gradient") {
  for (int64_t n : {0, 1, 31, 4097})
    check_op({.name = "add",
              .inputs = {{n}, {n}},
              .op = [](const Ctx& ctx, Vars in) { return nn::add(ctx, in[0], in[1]); },
              .reference =
                  [](Inputs in) {
                    Values y = in[0];
                    for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i];
                    return y;
                  },
              .tolerance = kElement});
}

TEST_CASE("conv2d: any kernel, stride, padding and channel count") {
  // N, H, W, C, K, R, S, stride, pad: tile remainders, 1x1, even kernels, stride over the kernel,
  // 2x2 images
  const reference::Conv shapes[] = {
      {2, 8, 8, 3, 16, 3, 3, 1, 1},   {1, 5, 7, 16, 5, 3, 3, 1, 1},  {3, 6, 6, 17, 33, 3, 3, 2, 1},
      {2, 7, 5, 32, 8, 1, 1, 2, 0},   {2, 4, 4, 4, 6, 2, 2, 2, 0},   {1, 9, 8, 2, 3, 5, 3, 2, 2},
      {2, 2, 2, 48, 40, 3, 3, 1, 1},  {5, 1, 1, 31, 9, 1, 1, 1, 0},  {1, 6, 6, 1, 1, 4, 4, 3, 1},
      {2, 5, 5, 3, 4, 3, 3, 1, 3},    {1, 8, 8, 16, 16, 1, 1, 3, 0}, {1, 3, 3, 2, 2, 3, 3, 1, 0},
      {2, 16, 16, 64, 32, 3, 3, 1, 1}};
  for (const reference::Conv& s : shapes)
    for (bool bias : {false, true}) {
      std::vector<Shape> inputs = {{s.N, s.H, s.W, s.C}, {s.K, s.R, s.S, s.C}};
      if (bias) inputs.push_back({s.K});
      check_op({.name = "conv2d " + inputs[0].str() + " * " + inputs[1].str() + " stride " +
                        std::to_string(s.stride) + " pad " + std::to_string(s.pad),
                .inputs = inputs,
                .op =
                    [=](const Ctx& ctx, Vars in) {
                      return nn::conv2d(ctx, in[0], in[1], bias ? &in[2] : nullptr,
                                        {.stride = s.stride, .pad = s.pad});
                    },
                .reference =
                    [=](Inputs in) {
                      return reference::conv2d(s, in[0], in[1], bias ? &in[2] : nullptr);
                    },
                .tolerance = kSum});
    }
}

TEST_CASE("linear: sizes around the tiles and an empty batch") {
  for (int64_t N : {0, 1, 7, 131})
    for (const auto& [in, out] : {std::pair<int64_t, int64_t>{1, 1}, {31, 10}, {64, 33}}) {
      const reference::Conv s{N, 1, 1, in, out, 1, 1, 1, 0};
      check_op({.name = "linear",
                .inputs = {{N, in}, {out, in}, {out}},
                .op = [](const Ctx& ctx, Vars v) { return nn::linear(ctx, v[0], v[1], &v[2]); },
                .reference = [=](Inputs v) { return reference::conv2d(s, v[0], v[1], &v[2]); },
                .tolerance = kSum});
    }
}

TEST_CASE("batch norm: with batch and running statistics, with residual and ReLU") {
  for (const Shape& shape : {Shape{4, 3, 3, 5}, Shape{2, 1}, Shape{31, 4}, Shape{9, 16, 16, 20}})
    for (bool batch : {true, false})
      for (bool relu : {false, true})
        for (const int residual : {0, 1, 2}) {  // 2: x itself
          const int64_t C = shape[shape.rank() - 1];
          const reference::Norm s{shape.size() / C, C, 1e-5, relu};
          const Values mean = normal_values(C, 3);
          Values var;
          for (double v : normal_values(C, 4)) var.push_back(v * v + 0.5);
          std::vector<Shape> inputs = {shape, {C}, {C}};
          if (residual == 1) inputs.push_back(shape);
          const size_t at = residual == 1 ? 3 : 0;  // of the residual, among the inputs
          check_op({.name = "batch_norm " + shape.str() + (batch ? " batch" : " running") +
                            (relu ? " relu" : "") + (residual > 0 ? " residual" : "") +
                            (residual == 2 ? ", x itself" : ""),
                    .inputs = inputs,
                    .op =
                        [=](const Ctx& ctx, Vars in) {
                          return nn::batch_norm(ctx,
                                                {.x = in[0],
                                                 .gamma = in[1],
                                                 .beta = in[2],
                                                 .running_mean = to_tensor(mean, {C}),
                                                 .running_var = to_tensor(var, {C}),
                                                 .residual = residual > 0 ? &in[at] : nullptr},
                                                {.relu = relu});
                        },
                    .reference =
                        [=](Inputs in) {
                          return reference::batch_norm(
                              s, in[0], in[1], in[2], residual > 0 ? &in[at] : nullptr,
                              batch ? nullptr : &mean, batch ? nullptr : &var);
                        },
                    .tolerance = shape.size() == 2
                                     ? 2e-3
                                     : 2e-5,  // two values: d/dx is a difference of near equals
                    .batch_norm = batch ? BatchNormMode::frozen : BatchNormMode::eval});
        }
}

TEST_CASE("pooling: maximum, average, adaptive, global") {
  for (const reference::Pool& s : {reference::Pool{2, 6, 6, 5, 2, 2, 0},
                                   {1, 7, 5, 3, 3, 2, 1},
                                   {2, 4, 4, 1, 4, 1, 2},
                                   {1, 1, 1, 9, 1, 1, 0}}) {
    const Shape x{s.N, s.H, s.W, s.C};
    const nn::PoolOptions o{.kernel = s.kernel, .stride = s.stride, .pad = s.pad};
    check_op({.name = "max_pool2d",
              .inputs = {x},
              .op = [=](const Ctx& ctx, Vars in) { return nn::max_pool2d(ctx, in[0], o); },
              .reference = [=](Inputs in) { return reference::max_pool(s, in[0]); },
              .tolerance = kElement});
    check_op({.name = "average_pool2d",
              .inputs = {x},
              .op = [=](const Ctx& ctx, Vars in) { return nn::average_pool2d(ctx, in[0], o); },
              .reference = [=](Inputs in) { return reference::average_pool(s, in[0]); },
              .tolerance = kElement});
  }
  for (const auto& [H, P] : {std::pair<int64_t, int64_t>{7, 3}, {2, 2}, {4, 1}, {2, 5}}) {
    const int64_t h = H, p = P;
    check_op({.name = "adaptive_average_pool2d",
              .inputs = {{2, h, h + 1, 5}},
              .op = [=](const Ctx& ctx,
                        Vars in) { return nn::adaptive_average_pool2d(ctx, in[0], p, p); },
              .reference =
                  [=](Inputs in) { return reference::adaptive_pool(2, h, h + 1, 5, p, p, in[0]); },
              .tolerance = kElement});
  }
  check_op(
      {.name = "global_average_pool2d",
       .inputs = {{3, 4, 5, 7}},
       .op = [](const Ctx& ctx, Vars in) { return nn::global_average_pool2d(ctx, in[0]); },
       .reference = [](Inputs in) { return reference::adaptive_pool(3, 4, 5, 7, 1, 1, in[0]); },
       .tolerance = kElement});
}

TEST_CASE("cross entropy: labels, label smoothing, soft targets") {
  for (const auto& [n, c] : {std::pair<int64_t, int64_t>{1, 2}, {31, 10}, {130, 3}}) {
    const int64_t N = n, C = c;
    Tensor labels({N}, DType::i32);
    for (int64_t i = 0; i < N; ++i) labels.as<int32_t>()[i] = static_cast<int32_t>((i * 7 + 1) % C);
    for (float smoothing : {0.0f, 0.1f}) {
      Values targets(static_cast<size_t>(N * C), double{smoothing} / static_cast<double>(C));
      for (int64_t i = 0; i < N; ++i)
        targets[static_cast<size_t>(i * C + labels.as<int32_t>()[i])] += 1.0 - double{smoothing};
      check_op(
          {.name = "cross_entropy",
           .inputs = {{N, C}},
           .op = [=](const Ctx& ctx,
                     Vars in) { return nn::cross_entropy(ctx, in[0], labels, smoothing); },
           .reference =
               [=](Inputs in) { return Values{reference::cross_entropy(N, C, in[0], targets)}; },
           .tolerance = kElement});
    }
    const Values soft = reference::softmax(N, C, normal_values(N * C, 8));
    check_op({.name = "soft_cross_entropy",
              .inputs = {{N, C}},
              .op =
                  [=](const Ctx& ctx, Vars in) {
                    return nn::soft_cross_entropy(ctx, in[0], to_tensor(soft, {N, C}));
                  },
              .reference =
                  [=](Inputs in) { return Values{reference::cross_entropy(N, C, in[0], soft)}; },
              .tolerance = kElement});
    for (double T : {1.0, 4.0}) {
      const Values teacher = normal_values(N * C, 9);
      check_op(
          {.name = "kl_divergence",
           .inputs = {{N, C}},
           .op =
               [=](const Ctx& ctx, Vars in) {
                 return nn::kl_divergence(ctx, in[0], to_tensor(teacher, {N, C}),
                                          static_cast<float>(T));
               },
           .reference = [=](Inputs in) { return Values{reference::kl(N, C, in[0], teacher, T)}; },
           .tolerance = kElement});
    }
    const Values teacher = normal_values(N * C, 9);
    check_op(
        {.name = "scrub",
         .inputs = {{N, C}},
         .op =
             [=](const Ctx& ctx, Vars in) {
               return nn::scrub(ctx, in[0], to_tensor(teacher, {N, C}));
             },
         .reference = [=](Inputs in) { return Values{reference::scrub(N, C, in[0], teacher)}; },
         .tolerance = kElement});
  }
}

TEST_CASE("mse and penalties") {
  const Values targets = normal_values(5 * 3, 6);
  check_op({.name = "mse",
            .inputs = {{5, 3}},
            .op =
                [=](const Ctx& ctx, Vars in) {
                  return nn::mse(ctx, in[0], to_tensor(targets, {5, 3}));
                },
            .reference =
                [=](Inputs in) {
                  double sum = 0;
                  for (size_t i = 0; i < 15; ++i)
                    sum += (in[0][i] - targets[i]) * (in[0][i] - targets[i]) / 15;
                  return Values{sum};
                },
            .tolerance = kElement});
  for (int64_t n : {0, 1, 31, 4097}) {
    check_op({.name = "l1",
              .inputs = {{n}},
              .op = [](const Ctx& ctx, Vars in) { return nn::l1(ctx, in[0]); },
              .reference =
                  [](Inputs in) {
                    double sum = 0;
                    for (double x : in[0]) sum += std::abs(x);
                    return Values{sum};
                  },
              .tolerance = kElement,
              .keep_away = 1e-3});
    check_op({.name = "l2",
              .inputs = {{n}},
              .op = [](const Ctx& ctx, Vars in) { return nn::l2(ctx, in[0]); },
              .reference =
                  [](Inputs in) {
                    double sum = 0;
                    for (double x : in[0]) sum += x * x / 2;
                    return Values{sum};
                  },
              .tolerance = kElement});
  }
}

TEST_CASE(
    "dropout: its gradient is its own mask; about p of the elements go; evaluation keeps all") {
  const StepScalars scalars{.seed = 5, .step = 3};
  const Ctx train{.mode = Mode::train, .scalars = &scalars};
  const Tensor ones = to_tensor(Values(4097, 1.0), {4097});
  const Values mask = to_values(nn::dropout(train, {ones, Var::kNone}, 0.3f, 2).value);
  int64_t dropped = 0;
  for (double m : mask) {
    dropped += m == 0;
    CHECK((m == 0 || std::abs(m - 1 / 0.7) < 1e-6));
  }
  CHECK(dropped > 4097 * 0.3 - 120);  // four standard deviations
  CHECK(dropped < 4097 * 0.3 + 120);
  for (int64_t n : {1, 31, 4097})
    check_op({.name = "dropout",
              .inputs = {{n}},
              .op = [](const Ctx& ctx, Vars in) { return nn::dropout(ctx, in[0], 0.3f, 2); },
              .reference =
                  [&](Inputs in) {
                    Values y = in[0];
                    for (size_t i = 0; i < y.size(); ++i) y[i] *= mask[i];
                    return y;
                  },
              .tolerance = kElement,
              .mode = Mode::train});
  CHECK(to_values(nn::dropout({.mode = Mode::eval}, {ones, Var::kNone}, 0.3f, 2).value) ==
        Values(4097, 1.0));
}

TEST_CASE("flatten keeps the order") {
  check_op({.name = "flatten",
            .inputs = {{2, 3, 4, 5}},
            .op = [](const Ctx& ctx, Vars in) { return nn::flatten(ctx, in[0]); },
            .reference = [](Inputs in) { return in[0]; },
            .tolerance = kElement});
}

TEST_CASE("ops refuse wrong shapes with op, expectation and value") {
  const Ctx ctx;
  const Var x{Tensor::zeros({2, 4, 4, 3}), Var::kNone}, w{Tensor::zeros({5, 3, 3, 4}), Var::kNone};
  CHECK_THROWS_WITH_AS(nn::conv2d(ctx, x, w, nullptr),
                       doctest::Contains("conv2d: w must be (K, R, S, 3), got (5, 3, 3, 4)"),
                       Error);
  CHECK_THROWS_WITH_AS(nn::linear(ctx, x, w, nullptr),
                       doctest::Contains("linear: x must be (N, in)"), Error);
  CHECK_THROWS_WITH_AS(nn::add(ctx, x, w), doctest::Contains("add:"), Error);
}

}  // namespace expunge::test
