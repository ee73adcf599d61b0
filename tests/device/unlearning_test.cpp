#include <cstring>
#include <string>
#include <vector>

#include "device/twins.h"
#include "unlearn/audit.h"
#include "unlearn/one_shot.h"
#include "unlearn/saliency.h"
#include "unlearn/shadow_class.h"
#include "unlearn/step.h"

namespace expunge::unlearn {
namespace {

using namespace test;

constexpr float kLr = 1e-3f;

struct Sides {
  const char *forget, *retain;
  double beta;
};
constexpr Sides kNgplus{"ascent", "ce", 0.95}, kSrl{"random-labels", "ce", 0.95};

StepConfig config_of(const Sides& sides, const std::string& gate, const std::string& estimator) {
  StepConfig config;
  config.forget = sides.forget == nullptr ? nullptr : &objective(sides.forget);
  config.retain = sides.retain == nullptr ? nullptr : &objective(sides.retain);
  config.beta = sides.beta;
  config.gate = GateSpec::parse(gate);
  config.estimator = EstimatorSpec::parse(estimator);
  config.batches_per_epoch = 2;
  config.teachers.forgotten = {5, 6, 7, 6000, 6001};
  config.numbers.alpha = 0.1;
  config.numbers.gamma = 0.9;
  config.numbers.temperature = 4;
  config.numbers.penalty_epochs = 5;
  return config;
}

// Steps of unlearning with everything on one side of the bus.
struct Run {
  nn::Model model = tiny_model<TinyResNet>();
  nn::Optimizer optimizer;
  ImagesAt forget, retain;
  UnlearnStep step;

  Run(Stream stream, const StepConfig& config, const nn::OptimConfig& optim)
      : optimizer((model.params.move_to(stream), model.params), optim),
        forget(stream, 1000, 2),
        retain(stream, 5000, 3),
        step(model, optimizer, retain, config) {}
  void go(int64_t steps) {
    for (int64_t at = 0; at < steps; ++at) {
      const auto epoch = static_cast<int32_t>(at / 2);
      step.run(forget.at(epoch, at % 2), {.seed = 9, .step = at, .epoch = epoch, .lr = kLr});
    }
  }
};

// A gate with a threshold decides by rounding where a value is near it; momentum SGD keeps that in
// proportion.
void check_both(const StepConfig& config, double share, int64_t steps = 3) {
  const nn::OptimConfig sgd{.kind = nn::OptimKind::sgd, .momentum = 0.9f};
  Run here({}, config, sgd), there(device(), config, sgd);
  here.go(steps);
  there.go(steps);
  const Apart found = apart(here.model.params, there.model.params);
  CHECK_MESSAGE(found.share <= share, "share apart: ", found.share, ", worst ", found.worst);
  // an element that a threshold decides the other way is a whole step apart; `share` counts those
  CHECK_MESSAGE((found.share > 0 || found.worst <= 0.05), "worst apart: ", found.worst);
  CHECK(std::abs(here.step.report().forget_loss - there.step.report().forget_loss) <=
        1e-3 * (1 + std::abs(here.step.report().forget_loss)));
  if (here.step.report().kept < 0) return;
  const auto kept = static_cast<double>(there.step.report().kept - here.step.report().kept);
  CHECK(std::abs(kept) <= 1 + share * static_cast<double>(here.step.report().parameters));
}

}  // namespace

TEST_CASE("device: every gate, in and after the backward pass") {
  for (const GateRow& row : gates()) {
    CAPTURE(std::string(row.name));
    StepConfig config = config_of(kNgplus, row.name, "paper");
    if (row.uses.mask) {
      const nn::Model model = tiny_model<TinyResNet>();
      ImagesAt forget({}, 1000, 2);
      config.mask = saliency_mask(model, forget, 0.5);
      const StepConfig on_device = [&] {
        StepConfig moved = config;
        moved.mask = config.mask.to(device());
        return moved;
      }();
      const nn::OptimConfig sgd{.kind = nn::OptimKind::sgd};
      Run here({}, config, sgd), there(device(), on_device, sgd);
      here.go(2);
      there.go(2);
      check_same(here.model.params, there.model.params, 1e-4);
      continue;
    }
    for (const bool inside : {true, false}) {
      config.in_backward = inside;
      check_both(config, 0.005);
    }
  }
}

TEST_CASE("device: every estimator, normal and Student, with and without shrinkage") {
  for (const char* estimator :
       {"paper", "welford:2", "welford:2,cdf=normal,shrink=on", "ema:0.9", "ema:0.9,shrink=on",
        "microbatch:3", "microbatch:3,shrink=on", "persample"}) {
    CAPTURE(estimator);
    check_both(config_of(kNgplus, "focus", estimator), 0.005, 4);
  }
}

// Four batches as one.
Batch joined(Stream stream, const Images& images) {
  Batch all{.x = Tensor({4 * kSamples, 8, 8, 3})};
  all.labels = all.index = Tensor({4 * kSamples}, DType::i32);
  for (int64_t k = 0; k < 4; ++k) {
    const Batch one = images.at(0, k);
    all.x.slice(k * one.x.size(), one.x.shape()).copy_from(one.x);
    all.labels.slice(k * kSamples, {kSamples}).copy_from(one.labels);
  }
  all.x = all.x.to(stream);
  return all;
}

TEST_CASE("device: slices of a batch that are more than are taken in together") {
  for (const char* estimator : {"microbatch:19", "persample", "microbatch:19,shrink=on"}) {
    CAPTURE(estimator);
    const nn::OptimConfig sgd{.kind = nn::OptimKind::sgd, .momentum = 0.9f};
    const StepConfig config = config_of(kNgplus, "focus", estimator);
    Run here({}, config, sgd), there(device(), config, sgd);
    for (int64_t at = 0; at < 3; ++at)
      for (Run* run : {&here, &there})
        run->step.run(joined(run->model.params.values().stream(), Images(1000, 4)),
                      {.seed = 9, .step = at, .lr = kLr});
    const Apart found = apart(here.model.params, there.model.params);
    CHECK_MESSAGE(found.share <= 0.005, "share apart: ", found.share, ", worst ", found.worst);
  }
}

TEST_CASE("device: a launch a parameter or one for all, the bits are the same, padding stays 0") {
  for (const char* gate : {"none", "and", "prob", "focus", "bernoulli"})
    for (const char* estimator :
         {"paper", "welford:2", "ema:0.9", "ema:0.9,shrink=on", "microbatch:3"})
      for (const bool decay_all : {true, false}) {
        CAPTURE(gate);
        CAPTURE(estimator);
        StepConfig config = config_of(kNgplus, gate, estimator);
        const nn::OptimConfig adam{
            .kind = nn::OptimKind::adam, .weight_decay = 1e-2f, .decay_norm_bias = decay_all};
        config.joint = false;
        config.in_backward = true;
        Run each(device(), config, adam);
        config.in_backward = false;
        Run together(device(), config, adam);
        each.go(3);
        together.go(3);
        const Tensor a = each.model.params.values().to({}),
                     b = together.model.params.values().to({});
        CHECK(std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) ==
              0);
        std::vector<float> padding(b.span().begin(), b.span().end());
        for (const Range& range : together.model.params.parameters())
          std::fill_n(padding.begin() + range.offset, range.size, 0.0f);
        CHECK(std::ranges::count(padding, 0.0f) == std::ssize(padding));
      }
}

TEST_CASE("device: every objective") {
  for (const Objective& row : objectives()) {
    if (std::string(row.name) == "shadow-class") continue;  // its label is the last class: below
    CAPTURE(std::string(row.name));
    check_both(config_of({nullptr, row.name, 1}, "none", "paper"), 0.005, 2);
  }
  check_both(config_of(kSrl, "prob", "paper"), 0.005);
}

TEST_CASE("device: Adam, and updates that the gate multiplies") {
  StepConfig config = config_of(kSrl, "focus", "paper");
  config.gate_on = kernels::GateOn::update;
  const nn::OptimConfig adam{.kind = nn::OptimKind::adam, .weight_decay = 1e-4f};
  Run here({}, config, adam), there(device(), config, adam);
  here.go(3);
  there.go(3);
  CHECK(apart(here.model.params, there.model.params).share <= 0.01);
}

TEST_CASE("device: methods that change the weights once") {
  for (const char* text : {"ssd:1.2", "fisher:1e-6", "influence:1,samples=4,iterations=2",
                           "influence:20,samples=4,form=optml"}) {
    CAPTURE(text);
    const Method& row = method(text);
    nn::Model models[] = {tiny_model<TinyResNet>(), tiny_model<TinyResNet>()};
    models[1].params.move_to(device());
    for (nn::Model& model : models) {
      const Stream stream = model.params.values().stream();
      ImagesAt forget(stream, 1000, 2), retain(stream, 5000, 3), some(stream, 7000, 2);
      const std::vector<Leg> legs =
          row.one_shot == OneShotKind::ssd      ? std::vector<Leg>{{forget}, {retain}}
          : row.one_shot == OneShotKind::fisher ? std::vector<Leg>{{retain}}
                                                : std::vector<Leg>{{forget}, {retain}, {some, 2}};
      LegSource source(legs);
      const auto step = make_one_shot(row, OneShotSpec::parse(text), model, legs);
      Batch batch;
      int64_t at = 0;
      for (source.start(0); source.next(batch);) step->run(batch, {.seed = 3, .step = at++});
    }
    CHECK(apart(models[0].params, models[1].params).share <= 0.005);
  }
}

TEST_CASE("device: what comes before the first step, and a class more") {
  nn::Model here = tiny_model<TinyResNet>(), there = tiny_model<TinyResNet>();
  there.params.move_to(device());
  ImagesAt forget_here({}, 1000, 2), forget_there(device(), 1000, 2), retain_here({}, 5000, 3),
      retain_there(device(), 5000, 3);
  transpose_kernels(here);
  transpose_kernels(there);
  CHECK(apart(here.params, there.params).worst == 0);
  const int64_t a = perturb_indifferent(here, forget_here, retain_here, 5),
                b = perturb_indifferent(there, forget_there, retain_there, 5);
  CHECK(std::abs(a - b) <= 2);
  CHECK(apart(here.params, there.params).share <= 0.005);
  const Tensor mask_here = saliency_mask(here, forget_here, 0.5),
               mask_there = saliency_mask(there, forget_there, 0.5).to({});
  int64_t other = 0;
  for (int64_t i = 0; i < mask_here.size(); ++i)
    other += mask_here.data()[i] != mask_there.data()[i];
  CHECK(other <= mask_here.size() / 100);
}

TEST_CASE("device: audits of a step") {
  StepConfig config = config_of(kNgplus, "focus", "paper");
  const nn::OptimConfig sgd{.kind = nn::OptimKind::sgd};
  double t[2];
  for (const bool on_device : {false, true}) {
    const Stream stream = on_device ? device() : Stream{};
    Run run(stream, config, sgd);
    ImagesAt forget(stream, 1000, 2), retain(stream, 5000, 3);
    AuditedStep audited(
        run.step, run.model, forget, retain,
        {.batches = 2, .forget = config.forget, .retain = config.retain, .batches_per_epoch = 2});
    audited.run(run.forget.at(0, 0), {.seed = 9, .step = 0, .lr = kLr});
    t[on_device] = audited.report()->retain.gradient.mean;
  }
  CHECK(std::abs(t[0] - t[1]) <= 1e-3 * std::abs(t[0]));
}

}  // namespace expunge::unlearn
