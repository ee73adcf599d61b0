#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "nn/layers.h"
#include "nn/small_models.h"
#include "nn/vgg.h"
#include "support/error.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"
#include "unlearn/pass.h"

// Two batches through a network as one, against two passes: on the CPU every bit is the same.
namespace expunge::unlearn {
namespace {

using namespace test;

constexpr nn::InputSpec kSpec{.height = 8, .width = 8, .channels = 3, .classes = kClasses};

struct Side {
  const char* objective;
  BatchNormMode batch_norm;
  int64_t images;
};

struct Found {
  Tensor grads[2], losses, statistics;
};

template <class Network>
Found gradients(const Side (&sides)[2], bool together) {
  nn::Model model = nn::build<Network>("tiny", kSpec);
  nn::initialise(model.params, nn::Init::pytorch, 3);
  const Teachers teachers(model.params, {Teacher::original}, {});
  for (float& v : model.params.values().span()) v *= 1.1f;  // not what its teacher is
  Found found{{model.params.make_buffer(), model.params.make_buffer()}, Tensor::zeros({2}), {}};
  for (const Tensor& g : found.grads) std::fill_n(g.data(), g.size(), std::nanf(""));
  StepScalars scalars[2];
  Batch batches[2];
  std::vector<QueuedPass> passes;
  for (int k = 0; k < 2; ++k) {
    const Side& side = sides[k];
    const Objective& objective = unlearn::objective(side.objective);
    scalars[k] = {.seed = 7, .step = 5, .pass = k};
    batches[k] = Images(100 + k, 1).at(0, 0);
    batches[k].x = batches[k].x.slice(0, {side.images, 8, 8, 3});
    batches[k].labels = batches[k].labels.slice(0, {side.images});
    passes.push_back({{.network = *model.network,
                       .values = model.params,
                       .objective = objective,
                       .batch_norm = side.batch_norm,
                       .teachers = &teachers},
                      batches[k],
                      scalars[k],
                      nullptr,
                      labels_for(objective, batches[k], scalars[k], kClasses),
                      found.losses.slice(k, {1})});
  }
  Tape tape;
  if (together) {
    tape.bind_joint(model.params, {found.grads[0], sides[0].images},
                    {found.grads[1], sides[1].images});
    queue_losses(passes, {}, tape);
  } else {
    for (size_t k = 0; k < 2; ++k) {
      tape.bind(model.params, {found.grads[k], 0.0f});
      queue_losses({&passes[k], 1}, {}, tape);
    }
  }
  // padding between parameters is nobody's
  for (Tensor& g : found.grads) {
    const Tensor own = Tensor::zeros(g.shape());
    for (const Range& r : model.params.parameters())
      std::copy_n(g.data() + r.offset, r.size, own.data() + r.offset);
    g = own;
  }
  found.statistics = model.params.statistic_values();
  return found;
}

bool same(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.data(), b.data(), a.span().size_bytes()) == 0;
}

template <class Network>
void check(const Side (&sides)[2]) {
  CAPTURE(std::string(sides[0].objective));
  const Found apart = gradients<Network>(sides, false);
  CHECK(std::isfinite(apart.losses.data()[0] + apart.losses.data()[1]));
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    const Found joint = gradients<Network>(sides, true);
    CHECK(same(joint.losses, apart.losses));
    CHECK(same(joint.grads[0], apart.grads[0]));
    CHECK(same(joint.grads[1], apart.grads[1]));
    CHECK(same(joint.statistics, apart.statistics));
  }
  set_thread_count(0);
  CHECK_FALSE(same(apart.grads[0], apart.grads[1]));
}

template <class Network>
void check_modes() {
  using enum BatchNormMode;
  check<Network>({{"random-labels", train, 6}, {"ce", train, 6}});
  check<Network>({{"ascent", frozen, 5}, {"ce", train, 6}});  // a probe, and batches of two sizes
  check<Network>({{"scrub-away", eval, 3}, {"scrub-keep", eval, 2}});
}

// One convolution and one batch norm twice; a parameter that no gradient reaches, one that nobody
// reads.
class Twice final : public nn::Network {
 public:
  Twice(ParamStore& params, const nn::InputSpec& spec)
      : aside_(params.add_parameter({.name = "aside", .shape = {1, spec.classes}})),
        conv_{{params, "conv", 3, 3, {}}, {params, "bn", 3}},
        fc_(params, "fc", 3, spec.classes) {
    params.add_parameter({.name = "unread", .shape = {5}});
  }
  Var forward(const Ctx& ctx, const Var& x) const override {
    nn::l2(ctx, ctx.param(aside_));
    const Var h = conv_.relu(ctx, conv_.relu(ctx, x));
    return fc_(ctx, nn::global_average_pool2d(ctx, h));
  }

 private:
  int aside_;
  nn::ConvBatchNorm conv_;
  nn::LinearLayer fc_;
};

}  // namespace

TEST_CASE("joint pass: losses, both gradients and running statistics of two passes, bit for bit") {
  check_modes<TinyResNet>();
  check_modes<TinyVgg>();
  check_modes<Dropping>();
  check_modes<nn::SmallCnn>();
  check_modes<nn::Mlp>();
}

TEST_CASE("joint pass: parameters that are read twice, without effect, or not at all") {
  // with running statistics both batches would come to the first use before one comes to the second
  check<Twice>({{"ascent", BatchNormMode::frozen, 5}, {"ce", BatchNormMode::frozen, 6}});
  const Side sides[2] = {{"ascent", BatchNormMode::train, 4}, {"ce", BatchNormMode::train, 6}};
  const Found joint = gradients<Twice>(sides, true);
  for (const Tensor& g : joint.grads) {
    CHECK(g.data()[0] == 0.0f);
    CHECK(std::ranges::none_of(g.span(), [](float v) { return std::isnan(v); }));
  }
}

TEST_CASE("joint pass: batch norm of one batch by running statistics that the other one moves") {
  check<TinyVgg>({{"ascent", BatchNormMode::eval, 4}, {"ce", BatchNormMode::eval, 6}});
  check<TinyVgg>({{"ascent", BatchNormMode::eval, 4}, {"ce", BatchNormMode::train, 6}});
  check<TinyVgg>({{"ascent", BatchNormMode::train, 4}, {"ce", BatchNormMode::eval, 6}});
  check<TinyResNet>({{"ascent", BatchNormMode::eval, 4}, {"ce", BatchNormMode::train, 6}});
  check<TinyResNet>({{"ascent", BatchNormMode::train, 4}, {"ce", BatchNormMode::eval, 6}});
}

TEST_CASE("joint pass: an operation that gives no gradient of each batch is refused") {
  ParamStore store;
  store.add_parameter({.name = "shift", .shape = {1, 3}});
  store.allocate();
  const auto bind = [&](Tape& tape) {
    tape.bind_joint(store, {store.make_buffer(), 2}, {store.make_buffer(), 3});
    return Ctx{.params = &store, .tape = &tape};
  };
  Tape whole, few;
  const Ctx as_a_whole = bind(whole), of_few = bind(few);
  const Var loss = nn::l2(as_a_whole, as_a_whole.param(0));
  CHECK_THROWS_WITH(whole.backward(loss), doctest::Contains("--passes apart"));
  const Var x{Tensor::zeros({4, 3}), Var::kNone};  // of 5 images
  const Var less = nn::l2(of_few, nn::linear(of_few, x, of_few.param(0), nullptr));
  CHECK_THROWS_WITH(few.backward(less), doctest::Contains("--passes apart"));
}

TEST_CASE("joint pass: an operation that sees another number of images is refused at once") {
  const JointBatch joint[] = {{.images = 2}, {.images = 3}};
  const Ctx ctx{.joint = joint};
  int64_t seen = 0;
  const auto look = [&](const Ctx& own, int64_t n0, int64_t n1) {
    CHECK(own.joint.empty());
    seen += n1 - n0;
  };
  for (const int64_t other : {4, 6}) CHECK_THROWS_AS(ctx.for_batches(other, look), Error);
  CHECK(seen == 0);
  ctx.for_batches(5, look);
  CHECK(seen == 5);
}

}  // namespace expunge::unlearn
