#include <doctest/doctest.h>

#include "nn/ops.h"
#include "support/op_harness.h"

// Batch norm with another's output added, or with max-pooling behind it, as rows of op_table.cpp.
namespace expunge::test {
namespace {

using Inputs = std::span<const Values>;
using Vars = std::span<const Var>;

}  // namespace

TEST_CASE("batch norm with the output of another added") {
  for (const Shape& shape : {Shape{4, 3, 3, 5}, Shape{31, 4}, Shape{9, 16, 16, 20}})
    for (const bool batch : {true, false})
      for (const bool relu : {true, false}) {
        const int64_t C = shape[shape.rank() - 1];
        const reference::Norm s{shape.size() / C, C, 1e-5, relu}, plain{s.pixels, C, 1e-5, false};
        const Values mean = normal_values(C, 3);
        Values var;
        for (double v : normal_values(C, 4)) var.push_back(v * v + 0.5);
        check_op({.name = "batch_norm, shortcut " + shape.str(),
                  .inputs = {shape, {C}, {C}, shape, {C}, {C}},
                  .op =
                      [=](const Ctx& ctx, Vars in) {
                        const auto of = [&](size_t at) {
                          return nn::BatchNormInputs{.x = in[at],
                                                     .gamma = in[at + 1],
                                                     .beta = in[at + 2],
                                                     .running_mean = to_tensor(mean, {C}),
                                                     .running_var = to_tensor(var, {C})};
                        };
                        const nn::BatchNormInputs other = of(3);
                        nn::BatchNormInputs own = of(0);
                        own.shortcut = &other;
                        return nn::batch_norm(ctx, own, {.relu = relu});
                      },
                  .reference =
                      [=](Inputs in) {
                        const Values *m = batch ? nullptr : &mean, *v = batch ? nullptr : &var;
                        const Values other =
                            reference::batch_norm(plain, in[3], in[4], in[5], nullptr, m, v);
                        return reference::batch_norm(s, in[0], in[1], in[2], &other, m, v);
                      },
                  .tolerance = 2e-5,
                  .batch_norm = batch ? BatchNormMode::frozen : BatchNormMode::eval});
      }
}

TEST_CASE(
    "batch norm with max-pooling behind it: in one operation, and in two where a side is odd") {
  for (const Shape& shape : {Shape{2, 4, 6, 5}, Shape{3, 2, 2, 1}, Shape{1, 5, 4, 2}})
    for (const bool batch : {true, false})
      for (const bool relu : {true, false}) {
        const int64_t N = shape[0], H = shape[1], W = shape[2], C = shape[3];
        const reference::Norm s{.pixels = N * H * W, .C = C, .eps = 1e-5, .relu = relu};
        Values mean = normal_values(C, 7), var = normal_values(C, 8);
        for (double& v : var) v = v * v + 0.5;
        check_op({.name = "batch_norm, pooled " + shape.str(),
                  .inputs = {shape, Shape{C}, Shape{C}},
                  .op =
                      [=](const Ctx& ctx, Vars in) {
                        return nn::batch_norm(ctx,
                                              {.x = in[0],
                                               .gamma = in[1],
                                               .beta = in[2],
                                               .running_mean = to_tensor(mean, {C}),
                                               .running_var = to_tensor(var, {C})},
                                              {.relu = relu, .pool = true});
                      },
                  .reference =
                      [=](Inputs in) {
                        const Values y =
                            reference::batch_norm(s, in[0], in[1], in[2], nullptr,
                                                  batch ? nullptr : &mean, batch ? nullptr : &var);
                        return reference::max_pool({N, H, W, C, 2, 2, 0}, y);
                      },
                  .tolerance = 2e-5,
                  .batch_norm = batch ? BatchNormMode::frozen : BatchNormMode::eval});
      }
}

}  // namespace expunge::test
