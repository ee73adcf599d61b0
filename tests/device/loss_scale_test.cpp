#include <cmath>
#include <cstring>
#include <memory>

#include "device/twins.h"
#include "nn/checkpoint.h"
#include "nn/supervised_step.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "unlearn/saliency.h"
#include "unlearn/step.h"

namespace expunge {
namespace {

using namespace test;

// One batch again and again, at one place.
class Same final : public BatchSource {
 public:
  explicit Same(int first) : batch(ImagesAt(device(), first, 1).at(0, 0)) {}
  int64_t samples() const override { return batch.size(); }
  int64_t batches() const override { return 1; }
  void start(int, int64_t) override {}
  bool next(Batch& next) override { return next = batch, true; }

  Batch batch;
};

// Steps in fp16 on the device: of unlearning with a gate, or of training where there is none.
struct Run {
  const WithPrecision fp16{kernels::Precision::fp16};
  nn::Model model = tiny_model<TinyResNet>();
  nn::Optimizer optimizer;
  Same images{100}, other{200};
  std::unique_ptr<nn::Step> step;
  std::vector<NamedBuffer> buffers;
  int64_t at = 0;

  Run(const char* gate, bool record)
      : optimizer((model.params.move_to(device()), model.params),
                  {.kind = nn::OptimKind::adam, .weight_decay = 1e-2f}) {
    if (gate == nullptr) {
      step = std::make_unique<nn::SupervisedStep>(model, optimizer,
                                                  nn::SupervisedConfig{.record = record});
      return;
    }
    unlearn::StepConfig config;
    config.forget = &unlearn::objective("ascent");
    config.retain = &unlearn::objective("ce");
    config.gate = unlearn::GateSpec::parse(gate);
    config.estimator = unlearn::EstimatorSpec::parse("welford:2");
    config.record = record;
    config.in_backward = !record;
    config.joint = false;  // for the bits of both
    auto made = std::make_unique<unlearn::UnlearnStep>(model, optimizer, other, config);
    buffers = made->state();
    step = std::move(made);
  }

  nn::StepResult go() { return step->run(images.batch, {.seed = 1, .step = at++, .lr = 1e-3f}); }
  Tensor state() const { return optimizer.loss_scale().state().at(0).buffer; }
  float scale() const { return state().to({}).data()[0]; }
  void set_scale(float scale) const { state().slice(0, {1}).copy_from(Tensor::of({scale})); }
  // A step whose gradients overflow, whatever they are.
  nn::StepResult overflow() {
    const float before = scale();
    set_scale(0x1p40f);
    const nn::StepResult result = go();
    CHECK(scale() == 0x1p39f);
    set_scale(before);
    return result;
  }
  // All that a step which is not taken leaves as it is.
  std::vector<Tensor> kept() const {
    std::vector<Tensor> all{model.params.values().to({}).clone()};
    for (const NamedBuffer& b : optimizer.state()) all.push_back(b.buffer.to({}).clone());
    for (const NamedBuffer& b : buffers) all.push_back(b.buffer.to({}).clone());
    return all;
  }
};

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::ranges::equal(a, b, [](const Tensor& x, const Tensor& y) {
    return std::memcmp(x.data(), y.data(), x.span().size_bytes()) == 0;
  });
}

constexpr const char* kSteps[] = {nullptr, "none", "focus", "opt"};

}  // namespace

TEST_CASE("device: in fp16 a step whose gradients overflow is as if it had not been") {
  for (const char* gate : kSteps) {
    CAPTURE(gate);
    std::vector<std::vector<Tensor>> ends;
    for (const bool record : {true, false}) {
      CAPTURE(record);
      Run skips(gate, record), straight(gate, record);
      for (int i = 0; i < 6; ++i) {
        if (i == 3) {
          const std::vector<Tensor> before = skips.kept();
          const nn::StepResult skipped = skips.overflow();
          CHECK(skipped.skipped);
          CHECK(std::isfinite(skipped.loss));
          CHECK(same_bits(before, skips.kept()));
        }
        const nn::StepResult a = skips.go(), b = straight.go();
        CHECK_FALSE(a.skipped);
        CHECK(a.loss == b.loss);
      }
      CHECK(same_bits(skips.kept(), straight.kept()));
      CHECK(skips.state().to({}).span()[1] == 3);  // steps since then
      CHECK(skips.state().to({}).span()[2] == 1);
      ends.push_back(straight.kept());
    }
    CHECK(same_bits(ends[0], ends[1]));  // recorded or call by call, updates inside or after
  }
}

TEST_CASE("device: a run in fp16 that goes on has the bits of one that was not stopped") {
  for (const char* gate : {static_cast<const char*>(nullptr), "focus"}) {
    const TempDir dir;
    Run whole(gate, true), first(gate, true), second(gate, true);
    for (Run* run : {&whole, &first}) {
      run->go();
      run->overflow();
      run->go();
    }
    nn::save_state(dir / "state", first.model, first.optimizer, {}, first.buffers);
    nn::load_state(dir / "state", second.model, second.optimizer, second.buffers);
    second.at = first.at;
    for (int i = 0; i < 3; ++i) CHECK(whole.go().loss == second.go().loss);
    CHECK(same_bits(whole.kept(), second.kept()));
    CHECK(same_bits({whole.state().to({})}, {second.state().to({})}));
  }
}

TEST_CASE("device: where the least loss scale overflows the run ends") {
  Run run(nullptr, true);
  run.images.batch.labels = {};
  run.images.batch.targets = Tensor({kSamples, kClasses});  // gradients of 1e14, beyond f16
  for (float& v : run.images.batch.targets.span()) v = 1e15f;
  run.images.batch.targets = run.images.batch.targets.to(device());
  run.set_scale(2);
  CHECK(run.go().skipped);
  CHECK(run.scale() == 1);
  const std::vector<Tensor> before = run.kept();
  const std::string text = error_text([&] { run.go(); });
  CHECK_MESSAGE(contains(text, "overflow in fp16 at a loss scale of 1"), text);
  CHECK(error_code([&] { run.go(); }) == ExitCode::numerical);
  CHECK(same_bits(before, run.kept()));
}

TEST_CASE("device: only fp16 has a loss scale; gradients outside steps are those of tf32") {
  nn::Model model = tiny_model<TinyResNet>();
  model.params.move_to(device());
  ImagesAt images(device(), 1000, 2);
  std::vector<Tensor> masks;
  using enum kernels::Precision;
  for (const auto precision : {fp32, tf32, bf16, fp16}) {
    const WithPrecision in(precision);
    const nn::Optimizer optimizer(model.params, {});
    CHECK(optimizer.loss_scale().on() == (precision == fp16));
    CHECK(optimizer.loss_scale().state().empty() == (precision != fp16));
    masks.push_back(unlearn::saliency_mask(model, images, 0.5).to({}));
    CHECK(kernels::precision() == precision);
  }
  CHECK(same_bits({masks[1]}, {masks[3]}));
  CHECK_FALSE(same_bits({masks[1]}, {masks[2]}));
}

}  // namespace expunge
