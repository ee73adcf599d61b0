#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "device/twins.h"
#include "unlearn/step.h"

namespace expunge::unlearn {
namespace {

using namespace test;

StepConfig config_of(const char* forget, const char* retain, const std::string& gate,
                     const std::string& estimator) {
  StepConfig config;
  config.forget = &objective(forget);
  config.retain = &objective(retain);
  config.gate = GateSpec::parse(gate);
  config.estimator = EstimatorSpec::parse(estimator);
  config.in_backward = false;
  config.joint = false;  // on a GPU other engines may be chosen for both batches at once
  config.batches_per_epoch = 3;
  config.numbers = {.alpha = 0.1, .gamma = 0.9, .temperature = 4};
  return config;
}

struct Unlearned {
  std::vector<double> losses;  // of both sides, and how many parameters were kept
  std::vector<Tensor> tensors;
  bool recorded = false, gate_recorded = false;
};

// Two epochs of `batches`.
template <class Network>
Unlearned unlearn(StepConfig config, const nn::OptimConfig& optim, bool record,
                  bool short_last = true, int64_t batches = 3, float first_lr = 1e-3f) {
  nn::Model model = tiny_model<Network>();
  model.params.move_to(device());
  nn::Optimizer optimizer(model.params, optim);
  OnePlace forget(1000, batches, short_last), retain(5000, 4, false);
  config.batches_per_epoch = batches;
  config.record = record;
  UnlearnStep step(model, optimizer, retain, config);
  Unlearned result;
  Batch batch;
  for (int32_t epoch = 0, at = 0; epoch < 2; ++epoch)
    for (forget.start(epoch, 0); forget.next(batch); ++at) {
      const float lr = first_lr * static_cast<float>(at + 1);
      const double loss = step.run(batch, {.seed = 9, .step = at, .epoch = epoch, .lr = lr}).loss;
      const StepReport& report = step.report();
      result.losses.insert(result.losses.end(), {loss, report.forget_loss, report.retain_loss,
                                                 static_cast<double>(report.kept)});
    }
  result.recorded = step.has_recorded();
  if (config.gate.row->scope != Scope::element)
    result.gate_recorded = step.update().whole_gate().has_recorded();
  result.tensors = {model.params.values().to({}).clone(), model.params.statistic_values().to({})};
  for (const NamedBuffer& buffer : step.state()) result.tensors.push_back(buffer.buffer.to({}));
  for (const NamedBuffer& buffer : optimizer.state())
    result.tensors.push_back(buffer.buffer.to({}));
  return result;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.size() == b.size() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0;
}

void check_same(const Unlearned& a, const Unlearned& b) {
  CHECK(a.losses == b.losses);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) CHECK(same_bits(a.tensors[i], b.tensors[i]));
}

constexpr nn::OptimConfig kAdam{.kind = nn::OptimKind::adam, .weight_decay = 1e-2f};

}  // namespace

TEST_CASE("device: recorded steps of unlearning have the bits of steps call by call") {
  for (const char* gate :
       {"none", "focus", "bernoulli", "saliency", "opt", "fdr:0.3", "random:0.5"}) {
    CAPTURE(gate);
    const StepConfig config = config_of("random-labels", "ce", gate, "paper");
    const Unlearned whole = unlearn<Dropping>(config, kAdam, true),
                    calls = unlearn<Dropping>(config, kAdam, false);
    CHECK(whole.recorded);
    CHECK_FALSE(calls.recorded);
    CHECK(whole.gate_recorded == config.gate.row->recordable);
    CHECK_FALSE(calls.gate_recorded);
    check_same(whole, calls);
    CHECK(calls.losses[0] != calls.losses[4]);
  }
}

TEST_CASE_TEMPLATE(
    "device: a joint pass over both batches is as good as two passes, recorded and not", Network,
    Dropping, WideVgg) {
  for (const kernels::Precision precision : {kernels::Precision::fp32, kernels::Precision::bf16})
    for (const char* gate : {"none", "focus", "saliency", "opt"}) {
      CAPTURE(gate);
      const WithPrecision with(precision);
      StepConfig config = config_of("random-labels", "ce", gate, "paper");
      config.saliency_pass = config.gate.row->uses.saliency;
      const Unlearned apart = unlearn<Network>(config, kAdam, true);
      config.joint = true;
      const Unlearned joint = unlearn<Network>(config, kAdam, true);
      CHECK(joint.recorded);
      if (kCudaEmulated) {
        check_same(joint, apart);
      } else if (std::string(gate) == "none") {  // others turn rounding into decisions
        // with weights that stay: Adam's first steps are signs (docs/decisions/0020)
        const auto means = [&](bool both) {
          config.joint = both;
          return unlearn<Network>(config, kAdam, true, true, 3, 0).tensors[2];
        };
        const Tensor a = means(true), b = means(false);
        double difference = 0, size = 0;
        for (int64_t i = 0; i < a.size(); ++i) {
          const double x = double{a.data()[i]}, y = double{b.data()[i]};
          difference += (x - y) * (x - y), size += y * y;
        }
        const double most = precision == kernels::Precision::fp32 ? 5e-2 : 0.6;
        CHECK(std::sqrt(difference) <= most * std::sqrt(size));
      }
    }
}

TEST_CASE("device: a long batch and a short one in turn: one of them is recorded") {
  const StepConfig config = config_of("random-labels", "ce", "focus", "paper");
  const Unlearned whole = unlearn<Dropping>(config, kAdam, true, true, 2);
  CHECK(whole.recorded);
  check_same(whole, unlearn<Dropping>(config, kAdam, false, true, 2));
}

TEST_CASE("device: recorded with any objective that may be, a pass for the mask, any statistics") {
  for (const Objective& row : objectives()) {
    CAPTURE(std::string(row.name));
    StepConfig config = config_of(row.name, "ce", "prob", "ema:0.9");
    config.saliency_pass = std::string(row.name) == "random-labels";
    if (config.saliency_pass) config.gate = GateSpec::parse("saliency");
    const nn::OptimConfig sgd{.momentum = 0.9f};
    const Unlearned whole = unlearn<TinyResNet>(config, sgd, true, false);
    CHECK(whole.recorded == row.recordable);
    check_same(whole, unlearn<TinyResNet>(config, sgd, false, false));
  }
}

// A short batch comes between two launches of the recording, with other degrees of freedom. A joint
// pass that is asked for is two.
TEST_CASE("device: recorded with estimators that look into batches") {
  for (const char* estimator :
       {"microbatch:3", "persample", "microbatch:3,shrink=on", "welford:2,shrink=on"})
    for (const char* gate : {"focus", "opt"}) {
      CAPTURE(estimator);
      CAPTURE(gate);
      StepConfig config = config_of("random-labels", "ce", gate, estimator);
      const Unlearned calls = unlearn<TinyResNet>(config, kAdam, false);
      CHECK_FALSE(calls.recorded);
      const Unlearned whole = unlearn<TinyResNet>(config, kAdam, true);
      CHECK(whole.recorded);
      check_same(whole, calls);
      config.joint = true;
      check_same(unlearn<TinyResNet>(config, kAdam, true), calls);
    }
}

TEST_CASE("device: after a loss that is not finite a recorded step of unlearning changes nothing") {
  for (const char* gate : {"focus", "opt"}) {
    CAPTURE(gate);
    nn::Model model = tiny_model<TinyResNet>();
    model.params.move_to(device());
    nn::Optimizer optimizer(model.params, kAdam);
    OnePlace forget(1000, 3, false), retain(5000, 4, false);
    UnlearnStep step(model, optimizer, retain, config_of("ascent", "ce", gate, "welford:2"));
    Batch batch;
    forget.start(0, 0);
    int64_t at = 0;
    for (; forget.next(batch); ++at) step.run(batch, {.step = at, .lr = 1e-3f});
    REQUIRE(step.has_recorded());
    Range last{};  // the biases of the last layer
    for (const Range& range : model.params.parameters()) last = range;
    model.params.values().slice(last.offset, {1}).copy_from(Tensor::of({std::nanf("")}));
    std::vector<NamedBuffer> kept = step.state();
    kept.push_back({"values", model.params.values()});
    for (const NamedBuffer& buffer : optimizer.state()) kept.push_back(buffer);
    std::vector<Tensor> before;
    for (const NamedBuffer& buffer : kept) before.push_back(buffer.buffer.to({}).clone());
    CHECK(std::isnan(step.run(batch, {.step = at, .epoch = 1, .lr = 1e-3f}).loss));
    for (size_t i = 0; i < kept.size(); ++i) {
      CAPTURE(kept[i].name);
      CHECK(same_bits(before[i], kept[i].buffer.to({})));
    }
  }
}

}  // namespace expunge::unlearn
