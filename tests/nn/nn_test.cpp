#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/parallel.h"
#include "core/rng.h"
#include "nn/layers.h"
#include "nn/predict.h"
#include "nn/supervised_step.h"
#include "support/allocations.h"
#include "support/op_harness.h"

namespace expunge::nn {
namespace {

// Random images whose class shows in their mean colour.
class ToySource final : public BatchSource {
 public:
  explicit ToySource(int64_t batches, int64_t size = 12) : batches_(batches), size_(size) {}
  int64_t samples() const override { return batches_ * size_; }
  int64_t batches() const override { return batches_; }
  void start(int epoch, int64_t first) override { epoch_ = epoch, next_ = first; }
  bool next(Batch& batch) override {
    if (next_ == batches_) return false;
    batch.x = Tensor({size_, 8, 8, 3});
    batch.labels = Tensor({size_}, DType::i32);
    const auto key = static_cast<uint32_t>(epoch_ * 1000 + next_++);
    for (int64_t i = 0; i < batch.x.size(); ++i) {
      const int32_t label = static_cast<int32_t>(i / 192 % 3);
      const rng::Draw d =
          rng::philox(1, rng::Purpose::test, {{static_cast<uint32_t>(i), key, 7, 0}});
      batch.x.data()[i] = 2.0f * rng::uniform(d.word[0]) - 1.0f + (i % 3 == label ? 0.7f : 0.0f);
      batch.labels.as<int32_t>()[i / 192] = label;
    }
    return true;
  }

 private:
  int64_t batches_, size_, next_ = 0;
  int epoch_ = 0;
};

struct Recorder : EpochHook {
  std::vector<double> losses;
  std::vector<FitPosition> positions;
  int epochs = 0;
  int64_t stop_after = -1;
  Continue after_step(const FitPosition& at, const StepResult& result,
                      const StepScalars&) override {
    losses.push_back(result.loss);
    positions.push_back(at);
    return at.step == stop_after ? Continue::no : Continue::yes;
  }
  Continue after_epoch(const FitPosition&) override { return ++epochs, Continue::yes; }
};

// Its results come later; the loss of step k is k.
struct LateStep final : Step {
  StepResult run(const Batch&, const StepScalars&) override { return {}; }
  size_t most_ahead() const override { return 3; }
  void start() override { queued.clear(); }
  void queue(const Batch&, const StepScalars& scalars) override {
    queued.push_back(scalars.step == bad ? std::nan("") : static_cast<double>(scalars.step));
    most = std::max(most, queued.size());
  }
  StepResult next_result() override {
    const double loss = queued.front();
    queued.erase(queued.begin());
    return {.loss = loss, .samples = 1};
  }
  std::vector<double> queued;
  size_t most = 0;
  int64_t bad = -1;
};

// Looks after some steps; may stop after one of them.
struct SeldomHook final : EpochHook {
  SeldomHook(const LateStep& watched, int64_t looks_every) : step(watched), every(looks_every) {}
  bool looks_after(int64_t k) override { return k % every == 0; }
  Continue after_step(const FitPosition& at, const StepResult& result,
                      const StepScalars&) override {
    losses.push_back(result.loss);
    if (at.step % every == 0) CHECK(step.queued.empty());
    return at.step == stop_after ? Continue::no : Continue::yes;
  }
  Continue after_epoch(const FitPosition& at) override {
    CHECK(step.queued.empty());
    CHECK(at.step == std::ssize(losses));
    return Continue::yes;
  }
  const LateStep& step;
  int64_t every, stop_after = -1;
  std::vector<double> losses;
};

constexpr InputSpec kToy{.height = 8, .width = 8, .channels = 3, .classes = 3};

struct Run {
  Model model;
  Recorder recorder;
};

Run train(const std::string& name, int64_t stop_after = -1) {
  Run run{make_model(name, kToy), {}};
  initialise(run.model.params, Init::pytorch, 3);
  Optimizer optimizer(run.model.params, {.clip_norm = 1.0f});
  SupervisedStep step(run.model, optimizer, {.label_smoothing = 0.1f});
  ToySource source(5);
  run.recorder.stop_after = stop_after;
  const FitConfig config{.epochs = 3, .lr = 0.05, .schedule = Schedule::parse("onecycle")};
  if (fit(config, source, step, run.recorder) == FitEnd::stopped) {
    run.recorder.stop_after = -1;
    fit(config, source, step, run.recorder, run.recorder.positions.back());
  }
  return run;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("fit: steps are queued ahead, results come in order, hooks see what they look at") {
  LateStep step;
  ToySource source(5, 1);
  const FitConfig config{.epochs = 2, .lr = 0.1, .schedule = Schedule::parse("constant")};
  SeldomHook hook(step, 4);
  CHECK(fit(config, source, step, hook) == FitEnd::finished);
  CHECK(step.most == 3);
  CHECK(hook.losses == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});

  SeldomHook stops(step, 4);
  stops.stop_after = 8;
  CHECK(fit(config, source, step, stops) == FitEnd::stopped);
  CHECK(stops.losses.size() == 8);

  step.bad = 6;
  SeldomHook until_nan(step, 100);
  CHECK_THROWS_AS(fit(config, source, step, until_nan), Error);
  CHECK(until_nan.losses.size() == 7);
  step.bad = -1;  // and again, with what was queued forgotten
  SeldomHook again(step, 4);
  CHECK(fit(config, source, step, again) == FitEnd::finished);
  CHECK(again.losses == hook.losses);
}

TEST_CASE("models: parameter counts and multiply-adds on 32x32 images with ten classes") {
  const std::tuple<const char*, int64_t, int64_t> expected[] = {
      {"linear", 30'730, 30'720},
      {"mlp", 820'874, 820'480},
      {"smallcnn", 141'034, 29'197'568},
      {"resnet18", 11'173'962, 555'422'720},
      {"vgg16_bn", 15'311'818, 313'788'928},
      {"vgg16_bn_lth", 14'728'266, 313'201'664}};
  for (const auto& [name, parameters, macs] : expected) {
    const Model model = make_model(name, {});
    CAPTURE(model.name);
    CHECK(model.parameter_count() == parameters);
    CHECK(model.macs() == macs);
  }
  CHECK_THROWS_WITH_AS(make_model("resnet81", {}),
                       "model 'resnet81' is not known; did you mean 'resnet18'?", Error);
}

TEST_CASE("models: a trace has the shapes of every operation") {
  const Trace t = make_model("resnet18", {}).trace(5);
  REQUIRE(t.conv2d.size() == 21);  // 20 convolutions and the linear layer
  REQUIRE(t.batch_norm.size() == 20);
  const kernels::Conv2dShape stem = t.conv2d.front(), fc = t.conv2d.back();
  CHECK((stem.N == 5 && stem.H == 32 && stem.C == 3 && stem.K == 64 && stem.R == 3));
  CHECK((fc.N == 5 && fc.H == 1 && fc.C == 512 && fc.K == 10));
  CHECK((t.batch_norm[0].shape.pixels == 5 * 32 * 32 && !t.batch_norm[0].residual));
  CHECK((t.batch_norm[2].residual && t.batch_norm[2].shape.relu));
  CHECK(t.max_pool2d.empty());
  REQUIRE(t.average_pool2d.size() == 1);
  CHECK((t.average_pool2d[0].N == 5 && t.average_pool2d[0].H == 4 && t.average_pool2d[0].P == 1));
  const Trace vgg = make_model("vgg16_bn", {}).trace();
  REQUIRE(vgg.batch_norm.size() == 13);
  CHECK((vgg.batch_norm[0].pooled == 0 && vgg.batch_norm[1].pooled == 32));
  CHECK((vgg.batch_norm[9].pooled == 4 && vgg.batch_norm[9].shape.C == 512));
  CHECK(vgg.max_pool2d.empty());  // each is one operation with its batch norm
  const Trace odd = make_model("vgg16_bn", {.height = 28, .width = 28}).trace();
  REQUIRE(odd.max_pool2d.size() == 2);  // 28, 14, 7, 3
  CHECK((odd.max_pool2d[0].H == 7 && odd.max_pool2d[1].H == 3));
}

TEST_CASE("models: names are those of PyTorch's state_dict") {
  const ParamStore resnet = make_model("resnet18", {}).params;
  for (const char* name : {"conv1.weight", "bn1.bias", "layer1.0.conv2.weight",
                           "layer2.0.downsample.0.weight", "layer4.1.bn2.weight", "fc.bias"})
    CHECK_MESSAGE(resnet.parameters().find(name) >= 0, name);
  CHECK(resnet.statistics().find("layer2.0.downsample.1.running_var") >= 0);
  CHECK(resnet.parameters().find("layer1.0.downsample.0.weight") < 0);
  const ParamStore vgg = make_model("vgg16_bn", {}).params,
                   lth = make_model("vgg16_bn_lth", {}).params;
  for (const char* name :
       {"features.0.weight", "features.1.bias", "features.40.weight", "classifier.4.weight"})
    CHECK_MESSAGE(vgg.parameters().find(name) >= 0, name);
  CHECK(vgg.parameters().find("features.0.bias") < 0);
  CHECK(lth.parameters().find("features.0.bias") >= 0);
  CHECK(lth.parameters().find("classifier.weight") >= 0);
}

TEST_CASE("initialisation: bounds and deviations as documented, different seeds differ") {
  ParamStore params = make_model("resnet18", {}).params;
  const int conv = params.parameters().find("layer1.0.conv1.weight"),
            fc = params.parameters().find("fc.weight");
  const int bias = params.parameters().find("fc.bias"),
            norm = params.parameters().find("bn1.weight");
  const auto deviation = [&](int p) {
    double sum = 0;
    for (float v : params.value(p).span()) sum += double{v} * double{v};
    return std::sqrt(sum / static_cast<double>(params.value(p).size()));
  };
  initialise(params, Init::pytorch, 1);
  const double bound = 1 / std::sqrt(9.0 * 64);  // a uniform law's deviation is bound / sqrt 3
  CHECK(deviation(conv) == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.02));
  for (float v : params.value(conv).span()) CHECK(std::abs(v) <= bound);
  CHECK(deviation(bias) > 0);
  CHECK(params.value(norm).data()[0] == 1.0f);
  const Tensor first = params.values().clone();
  initialise(params, Init::pytorch, 2);
  CHECK_FALSE(same_bits(first, params.values()));
  initialise(params, Init::pytorch, 1);
  CHECK(same_bits(first, params.values()));
  initialise(params, Init::kaiming, 1);
  CHECK(deviation(conv) == doctest::Approx(std::sqrt(2 / (9.0 * 64))).epsilon(0.02));
  CHECK(deviation(fc) == doctest::Approx(0.01).epsilon(0.05));
  CHECK(deviation(bias) == 0);
}

TEST_CASE("schedules: values at known places, and what is refused") {
  CHECK(Schedule::parse("constant").factor({50, 5, 10, 100}) == 1.0);
  const Schedule step = Schedule::parse("step:3,6,gamma=0.5");
  CHECK(step.factor({29, 2, 10, 100}) == 1.0);
  CHECK(step.factor({30, 3, 10, 100}) == 0.5);
  CHECK(step.factor({60, 6, 10, 100}) == 0.25);
  CHECK(Schedule::parse("cosine").factor({0, 0, 10, 100}) == doctest::Approx(1.0));
  CHECK(Schedule::parse("cosine").factor({50, 5, 10, 100}) == doctest::Approx(0.5));
  CHECK(Schedule::parse("onecycle").factor({0, 0, 10, 100}) == doctest::Approx(0.04));
  CHECK(Schedule::parse("onecycle").factor({30, 3, 10, 100}) == doctest::Approx(1.0));
  CHECK(Schedule::parse("onecycle").factor({100, 10, 10, 100}) == doctest::Approx(4e-6));
  Schedule warm = Schedule::parse("constant");
  warm.warmup_epochs = 2;
  CHECK(warm.factor({0, 0, 10, 100}) == doctest::Approx(0.05));
  CHECK(warm.factor({19, 1, 10, 100}) == doctest::Approx(1.0));
  for (const char* bad : {"", "cosin", "step", "step:", "step:a", "cosine:3", "step:1,gamma=x"})
    CHECK_THROWS_AS(Schedule::parse(bad), Error);
}

TEST_CASE("optimizer: groups without decay on biases and norms, clipping cuts the global norm") {
  Model model = make_model("smallcnn", kToy);
  initialise(model.params, Init::pytorch, 1);
  const ParamStore before = model.params.clone();
  Optimizer optimizer(
      model.params,
      {.momentum = 0, .weight_decay = 0.1f, .decay_norm_bias = false, .clip_norm = 2.0f});
  const Tensor grads = model.params.make_buffer();  // zero: only the decay acts
  optimizer.step(model.params, grads, {.lr = 0.5f});
  const int norm = model.params.parameters().find("bn1.weight"),
            conv = model.params.parameters().find("conv2.weight");
  CHECK(same_bits(model.params.value(norm), before.value(norm)));
  CHECK(model.params.value(conv).data()[5] == doctest::Approx(0.95 * before.value(conv).data()[5]));

  const ParamStore middle = model.params.clone();
  ParamStore::view(grads, model.params.parameters()[norm]).data()[0] = 8.0f;
  float gradient_norm = 0;
  optimizer.step(model.params, grads, {.lr = 0.5f}, nullptr, &gradient_norm);
  CHECK(gradient_norm == doctest::Approx(8.0));
  CHECK(model.params.value(norm).data()[0] ==
        doctest::Approx(middle.value(norm).data()[0] - 0.5f * 2.0f));
}

TEST_CASE("fit: the loss falls for every model and the same run gives the same bits") {
  for (const char* name : {"mlp", "smallcnn"}) {
    const Run first = train(name), second = train(name);
    CHECK(first.recorder.losses.back() < 0.8 * first.recorder.losses.front());
    CHECK(first.recorder.epochs == 3);
    CHECK(same_bits(first.model.params.values(), second.model.params.values()));
    CHECK(first.recorder.losses == second.recorder.losses);
  }
}

TEST_CASE("fit: 1, 2 and 3 threads give the same bits") {
  set_thread_count(1);
  const Run one = train("smallcnn");
  for (int threads : {2, 3}) {
    set_thread_count(threads);
    const Run more = train("smallcnn");
    CHECK(same_bits(one.model.params.values(), more.model.params.values()));
    CHECK(same_bits(one.model.params.statistic_values(), more.model.params.statistic_values()));
  }
  set_thread_count(0);
}

TEST_CASE("fit: stopped after any step and continued, the run is the uninterrupted one") {
  const Run whole = train("smallcnn");
  for (int64_t stop = 1; stop < 15; ++stop) {
    const Run resumed = train("smallcnn", stop);
    CHECK_MESSAGE(same_bits(whole.model.params.values(), resumed.model.params.values()),
                  "stopped after " << stop);
    CHECK(whole.recorder.losses == resumed.recorder.losses);
    CHECK(whole.recorder.positions.back().loss_sum == resumed.recorder.positions.back().loss_sum);
  }
}

TEST_CASE("fit: a loss that is not finite ends the run and leaves the last good weights") {
  Model model = make_model("mlp", kToy);
  initialise(model.params, Init::pytorch, 1);
  Optimizer optimizer(model.params, {});
  SupervisedStep step(model, optimizer);
  ToySource source(5);
  Recorder recorder;
  CHECK_THROWS_WITH_AS(fit({.epochs = 20, .lr = 1e18, .schedule = Schedule::parse("constant")},
                           source, step, recorder),
                       doctest::Contains("the loss became"), Error);
  for (float v : model.params.values().span()) CHECK_MESSAGE(v == v, "a NaN reached the weights");
}

TEST_CASE("fit: a steady training step allocates nothing") {
  set_thread_count(1);  // with more, how many chunks hold scratch at once varies
  Model model = make_model("resnet18", kToy);
  initialise(model.params, Init::pytorch, 1);
  Optimizer optimizer(model.params, {.kind = OptimKind::adam, .clip_norm = 1.0f});
  SupervisedStep step(model, optimizer);
  ToySource source(1, 4);
  Batch batch;
  source.start(0, 0);
  source.next(batch);
  StepScalars scalars{.lr = 1e-3f};
  for (; scalars.step < 2; ++scalars.step) step.run(batch, scalars);
  const int64_t heap = test::allocations.load(), pool = pool_stats().system_allocations;
  for (; scalars.step < 5; ++scalars.step) step.run(batch, scalars);
  CHECK(test::allocations.load() == heap);
  CHECK(pool_stats().system_allocations == pool);
  set_thread_count(0);
}

TEST_CASE("fit: squared error on targets solves a linear regression") {
  struct Source final : BatchSource {
    bool more = true;
    int64_t samples() const override { return 64; }
    int64_t batches() const override { return 1; }
    void start(int, int64_t) override { more = true; }
    bool next(Batch& batch) override {
      batch.x = test::to_tensor(test::normal_values(64 * 4, 1), {64, 1, 1, 4});
      batch.targets = Tensor({64, 1});
      for (int64_t i = 0; i < 64; ++i)
        batch.targets.data()[i] = 2 * batch.x.data()[4 * i] - 3 * batch.x.data()[4 * i + 3] + 0.5f;
      return std::exchange(more, false);
    }
  } source;
  Model model = make_model("linear", {.height = 1, .width = 1, .channels = 4, .classes = 1});
  initialise(model.params, Init::pytorch, 1);
  Optimizer optimizer(model.params, {.weight_decay = 0});
  SupervisedStep step(model, optimizer);
  Recorder recorder;
  fit({.epochs = 200, .lr = 0.05, .schedule = Schedule::parse("constant")}, source, step, recorder);
  CHECK(recorder.losses.back() < 1e-6);
  CHECK(model.params.value(0).data()[3] == doctest::Approx(-3.0).epsilon(1e-3));
}

TEST_CASE("predict: evaluation mode uses running statistics and leaves the model as it was") {
  const Run run = train("smallcnn");
  const Tensor values = run.model.params.values().clone(),
               statistics = run.model.params.statistic_values().clone();
  ToySource source(3);
  int64_t samples = 0;
  predict(run.model, source, [&](const Prediction& p) {
    CHECK(p.logits.shape() == Shape{12, 3});
    samples += p.losses.size();
    return samples < 24;
  });
  CHECK(samples == 24);
  CHECK(same_bits(values, run.model.params.values()));
  CHECK(same_bits(statistics, run.model.params.statistic_values()));
}

}  // namespace expunge::nn
