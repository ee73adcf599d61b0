#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "nn/layers.h"
#include "nn/ops.h"
#include "support/op_harness.h"
#include "support/tiny_models.h"

// Two batch norms whose outputs are added, as one operation and as two: the same bits.
namespace expunge::test {
namespace {

constexpr nn::InputSpec kSpec{.height = 6, .width = 6, .channels = 3, .classes = 4};

struct Found {
  Tensor logits, gradient, statistics;
};
Found run(bool together, BatchNormMode mode, bool tape_too) {
  ParamStore params;
  std::unique_ptr<nn::Network> block;
  if (together)
    block = std::make_unique<ShortcutBlock<true>>(params, kSpec);
  else
    block = std::make_unique<ShortcutBlock<false>>(params, kSpec);
  params.allocate();
  nn::initialise(params, nn::Init::pytorch, 3);
  Found found{
      .logits = {}, .gradient = Tensor::zeros(params.make_buffer().shape()), .statistics = {}};
  Tape tape;
  tape.bind(params, {found.gradient, 0.0f});
  const StepScalars scalars;
  const Ctx ctx{.params = &params,
                .tape = tape_too ? &tape : nullptr,
                .mode = Mode::train,
                .batch_norm = mode,
                .scalars = &scalars};
  const Var x{to_tensor(normal_values(5 * 6 * 6 * 3, 1), {5, 6, 6, 3}), Var::kNone};
  const Var logits = block->forward(ctx, x);
  found.logits = logits.value;
  if (tape_too) {
    const Tensor labels({5}, DType::i32);
    for (int i = 0; i < 5; ++i) labels.as<int32_t>()[i] = i % 4;
    tape.backward(nn::cross_entropy(ctx, logits, labels, 0));
  }
  found.statistics = params.statistic_values();
  return found;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.span().size_bytes()) == 0;
}

}  // namespace

TEST_CASE("batch norm with a shortcut: outputs, gradients and statistics of two operations") {
  using enum BatchNormMode;
  for (const BatchNormMode mode : {train, frozen, eval})
    for (const bool tape : {true, false}) {
      CAPTURE(static_cast<int>(mode));
      CAPTURE(tape);
      const Found one = run(true, mode, tape), two = run(false, mode, tape);
      CHECK(same(one.logits, two.logits));
      CHECK(same(one.gradient, two.gradient));
      CHECK(same(one.statistics, two.statistics));
      CHECK(std::isfinite(one.logits.data()[0]));
    }
}

TEST_CASE("batch norm with a shortcut: what does not fit is refused") {
  const Var x{Tensor::zeros({2, 4, 4, 3}), Var::kNone},
      small{Tensor::zeros({2, 2, 4, 3}), Var::kNone}, of_3{Tensor::zeros({3}), Var::kNone};
  const auto add = [&](const Var& from, const Var* residual, bool pool) {
    const nn::BatchNormInputs other{from, of_3, of_3, of_3.value, of_3.value, residual};
    nn::BatchNormInputs own{x, of_3, of_3, of_3.value, of_3.value};
    own.shortcut = &other;
    nn::batch_norm({}, own, {.relu = true, .pool = pool});
  };
  CHECK_NOTHROW(add(x, nullptr, false));
  CHECK_THROWS_WITH(add(small, nullptr, false), doctest::Contains("a shortcut (2, 2, 4, 3) on x"));
  CHECK_THROWS_WITH(add(x, &x, false), doctest::Contains("nothing else to add"));
  CHECK_THROWS_WITH(add(x, nullptr, true), doctest::Contains("something is added"));
  const Var recorded{x.value, 3}, gamma{of_3.value, 4};
  const nn::BatchNormInputs itself{recorded, of_3, of_3, of_3.value, of_3.value},
      alike{x, gamma, of_3, of_3.value, of_3.value};
  for (const nn::BatchNormInputs& in : {itself, alike}) {
    nn::BatchNormInputs own = in;
    own.shortcut = &in;
    CHECK_THROWS_WITH(nn::batch_norm({}, own), doctest::Contains("parameters of its own"));
  }
}

}  // namespace expunge::test
