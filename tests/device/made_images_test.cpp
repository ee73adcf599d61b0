#include <cstring>

#include "data/loader.h"
#include "device/twins.h"
#include "nn/predict.h"
#include "nn/supervised_step.h"
#include "unlearn/step.h"

// Whoever makes the images of a loader's batches himself (Batch::make) has the bits of one who gets
// them made.
namespace expunge {
namespace {

using namespace test;

const data::Dataset& digits() {
  static const data::Dataset set = data::open_dataset("builtin");
  return set;
}

// A loader, and whether its images are left to the step.
class Batches final : public BatchSource {
 public:
  Batches(int32_t first, int32_t count, int64_t batch_size, bool unmade)
      : loader_(digits(), config(first, count, batch_size)), unmade_(unmade) {}
  int64_t samples() const override { return loader_.samples(); }
  int64_t batches() const override { return loader_.batches(); }
  void start(int epoch, int64_t batch) override { loader_.start(epoch, batch); }
  bool next(Batch& batch) override { return loader_.next(batch); }
  bool next_unmade(Batch& batch) override {
    return unmade_ ? loader_.next_unmade(batch) : loader_.next(batch);
  }

 private:
  static data::LoaderConfig config(int32_t first, int32_t count, int64_t batch_size) {
    data::LoaderConfig config{.batch_size = batch_size,
                              .shuffle = true,
                              .crop = true,
                              .flip = true,
                              .seed = 3,
                              .stream = device()};
    for (int32_t i = 0; i < count; ++i) config.positions.push_back(first + i);
    return config;
  }
  data::Loader loader_;
  bool unmade_;
};

struct Learner {
  nn::Model model = small_model_there(digits());
  nn::Optimizer optimizer{model.params, {.kind = nn::OptimKind::adam}};
};

// Notes losses; looks at the model at the end alone, so that steps are queued ahead.
struct Losses final : nn::EpochHook {
  std::vector<double> all;
  bool looks_after(int64_t) override { return false; }
  nn::Continue after_step(const nn::FitPosition&, const nn::StepResult& result,
                          const StepScalars&) override {
    all.push_back(result.loss);
    return nn::Continue::yes;
  }
  nn::Continue after_epoch(const nn::FitPosition&) override { return nn::Continue::yes; }
};

struct Learned {
  std::vector<double> losses;
  std::vector<float> weights;
  bool operator==(const Learned&) const = default;
};

template <class MakeStep>
Learned learn(BatchSource& source, MakeStep make_step) {
  Learner learner;
  auto step = make_step(learner);
  Losses hook;
  nn::fit({.epochs = 2, .lr = 1e-3, .schedule = nn::Schedule::parse("constant"), .seed = 3}, source,
          step, hook);
  const Tensor weights = learner.model.params.values().to({});
  return {hook.all, {weights.span().begin(), weights.span().end()}};
}

}  // namespace

TEST_CASE("device: training makes its images itself, step ahead of step") {
  const auto train = [](bool unmade, bool record) {
    Batches source(0, 23, 4, unmade);
    return learn(source, [=](Learner& l) {
      return nn::SupervisedStep(l.model, l.optimizer, {.record = record});
    });
  };
  const Learned made = train(false, true);
  CHECK(train(true, true) == made);
  CHECK(train(true, false) == made);
  CHECK(made.losses.size() == 12);
}

TEST_CASE("device: unlearning makes the images of both its batches") {
  struct Way {
    bool joint, in_backward;
  };
  for (const auto [joint, in_backward] : {Way{true, false}, Way{false, false}, Way{false, true}}) {
    CAPTURE(joint);
    CAPTURE(in_backward);
    const auto unlearn = [=](bool unmade) {
      Batches forget(0, 12, 4, unmade), retain(100, 20, 4, unmade);
      return learn(forget, [&](Learner& l) {
        unlearn::StepConfig config;
        config.forget = &unlearn::objective("ascent");
        config.retain = &unlearn::objective("ce");
        config.gate = unlearn::GateSpec::parse("focus");
        config.joint = joint;
        config.in_backward = in_backward;
        config.batches_per_epoch = forget.batches();
        return unlearn::UnlearnStep(l.model, l.optimizer, retain, config);
      });
    };
    CHECK(unlearn(true) == unlearn(false));
  }
}

TEST_CASE("device: evaluation makes its images, of few batches and of so many that it records") {
  const Learner learner;
  for (const int32_t batches : {3, 40}) {
    const auto predict = [&](bool unmade) {
      Batches source(0, 2 * batches - 1, 2, unmade);
      std::vector<float> logits;
      nn::predict(learner.model, source, [&](const nn::Prediction& p) {
        logits.insert(logits.end(), p.logits.span().begin(), p.logits.span().end());
        return true;
      });
      return logits;
    };
    const std::vector<float> made = predict(false);
    CHECK(predict(true) == made);
    CHECK(std::ssize(made) == (2 * batches - 1) * 10);
  }
}

}  // namespace expunge
