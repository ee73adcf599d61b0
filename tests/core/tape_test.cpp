#include "core/tape.h"

#include <doctest/doctest.h>

#include <cmath>

#include "nn/ops.h"

namespace expunge {
namespace {

// w1 (2), w2 (2), unused (3); loss = sum w1 * w1 * w2 by ops of the library
ParamStore small_store() {
  ParamStore store;
  for (const auto& [name, n] : {std::pair<const char*, int64_t>{"w1", 2}, {"w2", 2}, {"unused", 3}})
    store.add_parameter({.name = name, .shape = {1, n}});
  store.allocate();
  for (int64_t i = 0; i < 2; ++i)
    store.value(0).data()[i] = 1.0f + static_cast<float>(i), store.value(1).data()[i] = 3.0f;
  return store;
}

// y = w1 w2^T, a (1, 1)
Var product(const Ctx& ctx) {
  return nn::linear(ctx, ctx.param(0), ctx.param(1), nullptr);
}

}  // namespace

TEST_CASE("tape: gradients land in the bound buffer; beta decides between overwriting and adding") {
  ParamStore store = small_store();
  const Tensor grads = store.make_buffer();
  for (float& g : grads.span()) g = 10.0f;
  Tape tape;
  for (float beta : {0.0f, 1.0f}) {
    tape.bind(store, {grads, beta});
    const Ctx ctx{.params = &store, .tape = &tape};
    tape.backward(nn::l1(ctx, product(ctx)));
    const Tensor g1 = ParamStore::view(grads, store.parameters()[0]),
                 g3 = ParamStore::view(grads, store.parameters()[2]);
    CHECK(g1.data()[0] == 3.0f * (1.0f + beta));
    CHECK(g3.data()[0] == 0.0f);
  }
}

TEST_CASE("tape: a parameter is reported once, after the last reader of its value has run") {
  ParamStore store = small_store();
  Tape tape;
  tape.bind(store, {store.make_buffer(), 0.0f});
  const Ctx ctx{.params = &store, .tape = &tape};
  std::vector<int> order;
  // w1 is read first and, through the square, again; so it is final last of the two
  const Var w1 = ctx.param(0);
  const Var first = nn::linear(ctx, w1, w1, nullptr);
  const Var second = nn::add(ctx, first, product(ctx));
  tape.backward(nn::l2(ctx, second), {}, [&](int p) { order.push_back(p); });
  CHECK(order == std::vector<int>{1, 0, 2});
}

TEST_CASE("tape: values may change inside the report without changing the gradients") {
  ParamStore store = small_store();
  const Tensor expected = store.make_buffer(), got = store.make_buffer();
  Tape tape;
  for (const bool destroy : {false, true}) {
    ParamStore copy = store.clone();
    tape.bind(copy, {destroy ? got : expected, 0.0f});
    const Ctx ctx{.params = &copy, .tape = &tape};
    const Var w1 = ctx.param(0);
    const Var loss = nn::l2(ctx, nn::add(ctx, nn::linear(ctx, w1, w1, nullptr), product(ctx)));
    tape.backward(loss, {}, [&](int p) {
      for (float& v : copy.value(p).span()) v = destroy ? std::nanf("") : v;
    });
  }
  for (int64_t i = 0; i < got.size(); ++i) CHECK(got.data()[i] == expected.data()[i]);
}

TEST_CASE("tape: nothing is recorded without a tape or without a wanted gradient") {
  const Ctx ctx;
  CHECK_FALSE(nn::relu(ctx, {Tensor::zeros({3}), Var::kNone}).wants_grad());
  Tape tape;
  const Ctx taped{.tape = &tape};
  CHECK_FALSE(nn::relu(taped, {Tensor::zeros({3}), Var::kNone}).wants_grad());
  CHECK_THROWS_AS(tape.backward({Tensor::zeros({1}), Var::kNone}), Error);
}

TEST_CASE("tape: a branch that no gradient reaches leaves zero gradients") {
  ParamStore store = small_store();
  const Tensor grads = store.make_buffer();
  for (float& g : grads.span()) g = std::nanf("");
  Tape tape;
  tape.bind(store, {grads, 0.0f});
  const Ctx ctx{.params = &store, .tape = &tape};
  nn::l1(ctx, ctx.param(1));  // not part of the loss
  int reported = 0;
  tape.backward(nn::l2(ctx, ctx.param(0)), {}, [&](int) { ++reported; });
  CHECK(reported == 3);
  CHECK(ParamStore::view(grads, store.parameters()[0]).data()[1] == 2.0f);
  CHECK(ParamStore::view(grads, store.parameters()[1]).data()[0] == 0.0f);
}

}  // namespace expunge
