#include <cmath>
#include <cstring>

#include "device/twins.h"
#include "nn/supervised_step.h"
#include "unlearn/step.h"

// Steps whose results are read while others are on their way (nn::Step::queue).
namespace expunge::nn {
namespace {

using namespace test;

constexpr int64_t kBatches = 5;

// The batch that begins step `spoiled` has images that are no numbers.
class Spoiled final : public BatchSource {
 public:
  explicit Spoiled(int64_t spoiled = -1) : images_(100, kBatches, false), spoiled_(spoiled) {}
  int64_t samples() const override { return images_.samples(); }
  int64_t batches() const override { return images_.batches(); }
  void start(int epoch, int64_t batch) override {
    images_.start(epoch, batch), next_ = epoch * kBatches + batch;
  }
  bool next(Batch& batch) override {
    if (!images_.next(batch)) return false;
    if (next_++ == spoiled_) batch.x.copy_from(nan_);
    return true;
  }

 private:
  static Tensor not_numbers() {
    const Tensor x(Shape{kSamples, 8, 8, 3});
    std::ranges::fill(x.span(), std::nanf(""));
    return x;
  }
  OnePlace images_;
  int64_t spoiled_, next_ = 0;
  Tensor nan_ = not_numbers().to(device());
};

// Looks after every n-th step, where it notes the weights; stops after one of them.
struct Hook final : EpochHook {
  Hook(const Model& watched, int64_t every, int64_t stop = -1)
      : model(watched), looks_every(every), stop_after(stop) {}
  bool looks_after(int64_t step) override { return step % looks_every == 0; }
  Continue after_step(const FitPosition& at, const StepResult& result,
                      const StepScalars& scalars) override {
    CHECK(at.step == scalars.step + 1);
    losses.push_back(result.loss);
    if (result.skipped) skipped.push_back(scalars.step);
    positions.push_back(at);
    if (at.step % looks_every == 0) weights.push_back(model.params.values().to({}).clone());
    return at.step == stop_after ? Continue::no : Continue::yes;
  }
  Continue after_epoch(const FitPosition& at) override {
    CHECK(at.step == positions.back().step);  // all is known
    return Continue::yes;
  }
  const Model& model;
  int64_t looks_every, stop_after;
  std::vector<double> losses;
  std::vector<int64_t> skipped;  // steps
  std::vector<FitPosition> positions;
  std::vector<Tensor> weights;
};

struct Trained {
  explicit Trained(const OptimConfig& config = {.kind = OptimKind::adam})
      : optimizer(on_device(model), config) {}

  Model model = tiny_model<TinyVgg>();
  Optimizer optimizer;

  static const ParamStore& on_device(Model& model) {
    model.params.move_to(device());
    return model.params;
  }
  // What a step may change, running statistics apart.
  std::vector<Tensor> kept() const {
    std::vector<Tensor> all = {model.params.values().to({}).clone()};
    for (const NamedBuffer& buffer : optimizer.state()) all.push_back(buffer.buffer.to({}).clone());
    return all;
  }
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.bytes(), b.bytes(), a.span().size_bytes()) == 0;
}

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i], b[i]));
}

const FitConfig kTwoEpochs{
    .epochs = 2, .lr = 0.01, .schedule = Schedule::parse("constant"), .seed = 1};

unlearn::StepConfig unlearning(const char* gate) {
  unlearn::StepConfig config;
  config.forget = &unlearn::objective("ascent");
  config.retain = &unlearn::objective("ce");
  config.gate = unlearn::GateSpec::parse(gate);
  config.in_backward = false;
  config.batches_per_epoch = kBatches;
  return config;
}

}  // namespace

TEST_CASE("device: steps ahead have the results, positions and bits of steps one by one") {
  Trained one, ahead;
  SupervisedStep step_one(one.model, one.optimizer), step_ahead(ahead.model, ahead.optimizer);
  CHECK(step_one.most_ahead() > 1);
  Spoiled source;
  Hook each(one.model, 1), seldom(ahead.model, 7);
  CHECK(fit(kTwoEpochs, source, step_one, each) == FitEnd::finished);
  CHECK(fit(kTwoEpochs, source, step_ahead, seldom) == FitEnd::finished);
  CHECK(step_ahead.has_recorded());
  CHECK(seldom.losses == each.losses);
  REQUIRE(seldom.positions.size() == 2 * kBatches);
  for (size_t i = 0; i < each.positions.size(); ++i) {
    CHECK(seldom.positions[i].step == each.positions[i].step);
    CHECK(seldom.positions[i].batch == each.positions[i].batch);
    CHECK(seldom.positions[i].loss_sum == each.positions[i].loss_sum);
    CHECK(seldom.positions[i].correct == each.positions[i].correct);
  }
  REQUIRE(seldom.weights.size() == 1);  // where it looked, the model was that step's
  CHECK(same_bits(seldom.weights[0], each.weights[6]));
  check_same(ahead.kept(), one.kept());

  Trained stopped;
  SupervisedStep step(stopped.model, stopped.optimizer);
  Hook stops(stopped.model, 3, 6);
  CHECK(fit(kTwoEpochs, source, step, stops) == FitEnd::stopped);
  CHECK(stops.positions.size() == 6);
  CHECK(same_bits(stopped.model.params.values().to({}), each.weights[5]));
}

TEST_CASE("device: steps that clip, or skip in fp16, are taken ahead too") {
  const auto check = [](const OptimConfig& config, float loss_scale, bool skips) {
    Trained one(config), ahead(config);
    for (const Trained* t : {&one, &ahead})
      for (const NamedBuffer& state : t->optimizer.loss_scale().state())
        state.buffer.slice(0, {1}).copy_from(Tensor::of({loss_scale}));
    SupervisedStep step_one(one.model, one.optimizer), step_ahead(ahead.model, ahead.optimizer);
    CHECK(step_ahead.most_ahead() > 1);
    Spoiled source;
    Hook each(one.model, 1), seldom(ahead.model, 100);
    fit(kTwoEpochs, source, step_one, each);
    fit(kTwoEpochs, source, step_ahead, seldom);
    CHECK(seldom.losses == each.losses);
    CHECK(seldom.skipped == each.skipped);
    CHECK(each.skipped.empty() != skips);
    CHECK(each.skipped.size() < each.losses.size());
    check_same(ahead.kept(), one.kept());
  };
  check({.clip_norm = 0.1f}, 1, false);
  check({.kind = OptimKind::adam, .clip_norm = 0.1f}, 1, false);
  const WithPrecision fp16(kernels::Precision::fp16);
  check({.clip_norm = 0.1f}, 0x1p24f, true);
  check({.kind = OptimKind::adam, .clip_norm = 0.1f}, 0x1p24f, true);  // counts those it took
}

TEST_CASE("device: steps of unlearning that may be skipped in fp16 are taken ahead too") {
  const WithPrecision fp16(kernels::Precision::fp16);
  // The first steps overflow, or one in the middle, where the scale doubles: the largest gradient
  // of a weight is 0.09 to 0.12, and in f16 it may be 65504 / S.
  const Tensor first = Tensor::of({0x1.bp23f, 0, 0}),
               middle = Tensor::of({0x1.bp18f, kernels::kSteadySteps - 8, 0});
  // returns how many steps may be on their way, as it says in the end
  const auto check = [&](const Tensor& scale, const std::string& gate, const std::string& estimator,
                         const OptimConfig& optimizer) {
    CAPTURE(gate);
    CAPTURE(estimator);
    Trained one(optimizer), ahead(optimizer);
    for (const Trained* t : {&one, &ahead})
      t->optimizer.loss_scale().state().at(0).buffer.copy_from(scale);
    OnePlace forget(100, kBatches, false), retain(5000, kBatches, false);
    unlearn::StepConfig config = unlearning(gate.c_str());
    config.estimator = unlearn::EstimatorSpec::parse(estimator);
    unlearn::UnlearnStep step_one(one.model, one.optimizer, retain, config);
    Hook each(one.model, 1), seldom(ahead.model, 100);
    FitConfig epochs = kTwoEpochs;
    epochs.epochs = 4, epochs.lr = 1e-3;
    fit(epochs, forget, step_one, each);
    OnePlace other(5000, kBatches, false);
    unlearn::UnlearnStep step_ahead(ahead.model, ahead.optimizer, other, config);
    fit(epochs, forget, step_ahead, seldom);
    CHECK(seldom.losses == each.losses);
    CHECK(seldom.skipped == each.skipped);
    CHECK(each.skipped ==
          (&scale == &first ? std::vector<int64_t>{0, 1, 2, 3, 4} : std::vector<int64_t>{8}));
    check_same(ahead.kept(), one.kept());
    REQUIRE(step_ahead.state().size() == step_one.state().size());
    for (size_t i = 0; i < step_one.state().size(); ++i)
      CHECK(same_bits(step_ahead.state()[i].buffer.to({}), step_one.state()[i].buffer.to({})));
    return step_ahead.most_ahead();
  };
  const OptimConfig adam{.kind = OptimKind::adam, .decay_norm_bias = false}, sgd{};
  CHECK(check(first, "focus", "paper", adam) > 1);
  CHECK(check(middle, "focus", "paper", adam) > 1);
  CHECK(check(middle, "bernoulli", "ema:0.9", adam) > 1);
  CHECK(check(middle, "prob:0.45", "welford:3", sgd) > 1);
  CHECK(check(first, "focus-opt", "welford:3", adam) > 1);
  CHECK(check(middle, "focus-opt", "ema:0.9", adam) > 1);
  CHECK(check(middle, "focus", "microbatch:2", adam) > 1);
  // what the host must know itself
  CHECK(check(middle, "focus", "ema:0.9,shrink=on", adam) == 0);
  CHECK(check(first, "random:0.5", "paper", adam) == 0);
}

TEST_CASE("device: in fp16 what the slices of a batch say does not depend on the loss scale") {
  const WithPrecision fp16(kernels::Precision::fp16);
  std::vector<Tensor> phi;
  for (const float scale : {0x1p8f, 0x1p14f}) {
    Trained t;
    t.optimizer.loss_scale().state().at(0).buffer.slice(0, {1}).copy_from(Tensor::of({scale}));
    OnePlace forget(100, 1, false), retain(5000, 1, false);
    unlearn::StepConfig config = unlearning("focus-opt");
    config.estimator = unlearn::EstimatorSpec::parse("microbatch:2");
    unlearn::UnlearnStep step(t.model, t.optimizer, retain, config);
    forget.start(0, 0);
    Batch batch;
    REQUIRE(forget.next(batch));
    CHECK_FALSE(step.run(batch, {.lr = 1e-3f}).skipped);
    phi.push_back(step.update().phi().to({}).clone());
  }
  double difference = 0, spread = 0;
  for (int64_t i = 0; i < phi[0].size(); ++i) {
    difference += std::abs(double{phi[0].data()[i]} - double{phi[1].data()[i]});
    spread += std::abs(double{phi[0].data()[i]} - 0.5);
  }
  CHECK(spread > 0.05 * static_cast<double>(phi[0].size()));
  CHECK(difference < 1e-3 * spread);  // f16 below its normal numbers
}

TEST_CASE("device: what a gate of tensors keeps is reported with its own step") {
  std::vector<int64_t> one_by_one, ahead;
  const auto unlearn_with = [](auto use) {
    Trained t;
    OnePlace retain(5000, kBatches, false), forget(100, kBatches, false);
    unlearn::StepConfig config = unlearning("focus-opt");
    config.estimator = unlearn::EstimatorSpec::parse("welford:3");
    config.warmup = unlearn::Warmup::hold;  // keeps nothing, and the host knows it
    unlearn::UnlearnStep step(t.model, t.optimizer, retain, config);
    forget.start(0, 0);
    use(step, forget);
  };
  Batch batch;
  unlearn_with([&](unlearn::UnlearnStep& step, BatchSource& forget) {
    for (int64_t i = 0; forget.next(batch); ++i) {
      step.run(batch, {.step = i, .lr = 1e-3f});
      one_by_one.push_back(step.report().kept);
    }
  });
  unlearn_with([&](unlearn::UnlearnStep& step, BatchSource& forget) {
    const auto hear = [&] { step.next_result(), ahead.push_back(step.report().kept); };
    for (int64_t i = 0; forget.next(batch); ++i) {
      step.queue(batch, {.step = i, .lr = 1e-3f});
      if (i >= 3) hear();
    }
    while (ahead.size() < kBatches) hear();
  });
  CHECK(one_by_one.front() == 0);
  CHECK(one_by_one.back() > 0);
  CHECK(ahead == one_by_one);
}

TEST_CASE("device: no step behind a loss that is not finite changes a weight") {
  constexpr int64_t kGood = 2;  // then one that is not, and some that were queued behind it
  FitConfig good = kTwoEpochs;
  good.max_steps = kGood;
  const auto check = [&](const char* what, auto make_step) {
    CAPTURE(std::string(what));
    Trained before, after;
    // what the step remembers besides: statistics of gradients
    const auto remembered = [](const auto& step) {
      std::vector<Tensor> all;
      if constexpr (requires { step.state(); })
        for (const NamedBuffer& b : step.state()) all.push_back(b.buffer.to({}).clone());
      return all;
    };
    OnePlace retain(5000, kBatches, false);
    auto step_before = make_step(before, retain);
    Spoiled source;
    Hook hook(before.model, 100);
    fit(good, source, step_before, hook);

    OnePlace retain_after(5000, kBatches, false);
    auto step_after = make_step(after, retain_after);
    Spoiled spoiled(kGood);
    Hook until_nan(after.model, 100);
    try {
      fit(kTwoEpochs, spoiled, step_after, until_nan);
      CHECK(false);
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::numerical);
    }
    CHECK(until_nan.losses.size() == kGood + 1);
    CHECK(std::isnan(until_nan.losses.back()));
    check_same(before.kept(), after.kept());
    check_same(remembered(step_before), remembered(step_after));

    // whoever catches that may go on with the same step
    after.model.params.statistic_values().copy_from(before.model.params.statistic_values());
    Hook again(after.model, 100);
    CHECK(fit(good, source, step_after, again) == FitEnd::finished);
    CHECK(again.losses.size() == kGood);
    CHECK(std::isfinite(again.losses.back()));
  };
  check("training", [](Trained& t, BatchSource&) { return SupervisedStep(t.model, t.optimizer); });
  for (const char* gate : {"focus", "opt"})
    for (const char* estimator : {"paper", "ema:0.9,shrink=on", "welford:2,shrink=on"})
      check(gate, [&](Trained& t, BatchSource& retain) {
        unlearn::StepConfig config = unlearning(gate);
        config.estimator = unlearn::EstimatorSpec::parse(estimator);
        return unlearn::UnlearnStep(t.model, t.optimizer, retain, config);
      });
}

TEST_CASE("late numbers: read in order, while others are on their way") {
  for (const Stream stream : {Stream{}, device()}) {
    LateNumbers late(stream, 2, 3);
    const Tensor found(Shape{2}, DType::f32, stream);
    const auto send = [&](float x) {
      found.copy_from(Tensor::of({x, 2 * x}));
      late.send(found);
    };
    for (const float x : {1.0f, 2.0f, 3.0f}) send(x);
    CHECK_THROWS_AS(send(4), Error);
    for (const float x : {1.0f, 2.0f, 3.0f}) CHECK(late.take()[1] == 2 * x);
    CHECK_THROWS_AS(late.take(), Error);
    send(5);
    CHECK(late.take()[0] == 5);
  }
}

}  // namespace expunge::nn
