#include <doctest/doctest.h>

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
    tape.bind_joint(model.params, found.grads[0], found.grads[1], sides[0].images);
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

// Its first parameter is read by an operation that knows no images.
class Scaled final : public nn::Network {
 public:
  Scaled(ParamStore& params, const nn::InputSpec& spec)
      : shift_(params.add_parameter({.name = "shift", .shape = {1, spec.classes}})),
        net_(params, spec) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    const Var z = net_.forward(ctx, x), one = nn::l2(ctx, ctx.param(shift_));
    return z.value.size() > 0 && one.value.size() == 1 ? z : one;
  }

 private:
  int shift_;
  nn::LinearModel net_;
};

}  // namespace

TEST_CASE("joint pass: losses, both gradients and running statistics of two passes, bit for bit") {
  check_modes<TinyResNet>();
  check_modes<TinyVgg>();
  check_modes<Dropping>();
  check_modes<nn::SmallCnn>();
  check_modes<nn::Mlp>();
}

TEST_CASE("joint pass: parameters that no gradient reaches are 0 in both") {
  const Side sides[2] = {{"ascent", BatchNormMode::train, 4}, {"ce", BatchNormMode::train, 6}};
  const Found apart = gradients<Scaled>(sides, false), joint = gradients<Scaled>(sides, true);
  CHECK(joint.grads[0].data()[0] == 0.0f);
  CHECK(joint.grads[1].data()[0] == 0.0f);
  CHECK(same(joint.grads[0], apart.grads[0]));
  CHECK(same(joint.grads[1], apart.grads[1]));
}

TEST_CASE("joint pass: an operation that gives a parameter's gradient as a whole is refused") {
  ParamStore store;
  store.add_parameter({.name = "shift", .shape = {3}});
  store.allocate();
  Tape tape;
  tape.bind_joint(store, store.make_buffer(), store.make_buffer(), 2);
  const Ctx ctx{.params = &store, .tape = &tape};
  const Var loss = nn::l2(ctx, ctx.param(0));
  CHECK_THROWS_WITH(tape.backward(loss), doctest::Contains("--passes apart"));
}

TEST_CASE("joint pass: an operation that sees another number of images is refused") {
  const JointBatch joint[] = {{.images = 2}, {.images = 3}};
  const Ctx ctx{.joint = joint};
  CHECK_THROWS_AS(ctx.for_batches(6, [](const Ctx&, int64_t, int64_t) {}), Error);
  int64_t seen = 0;
  ctx.for_batches(5, [&](const Ctx& own, int64_t n0, int64_t n1) {
    CHECK(own.joint.empty());
    seen += n1 - n0;
  });
  CHECK(seen == 5);
}

}  // namespace expunge::unlearn
