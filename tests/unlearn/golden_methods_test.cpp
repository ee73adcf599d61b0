#include "support/golden_file.h"
#include "unlearn/in_turn.h"
#include "unlearn/shadow_class.h"
#include "unlearn/step.h"

// A few steps of the field's methods, through the training loop, against tools/golden_methods.py:
// numpy, in double, from the same weights and batches.
namespace expunge::unlearn {
namespace {

constexpr double kLr = 0.01;  // LR there, and so on
constexpr ObjectiveNumbers kScrub{.alpha = 0.5, .gamma = 0.9, .temperature = 2};
constexpr ObjectiveNumbers kPenalty{.alpha = 1e-3, .penalty_epochs = 2};
// In units of the learning rate, of movements up to about 4: a weight below 1 is stored to 3e-8 or
// 3e-6 of it in each step, and a gradient is a sum of some hundred terms that float rounds.
constexpr double kMoved = 2e-5;
constexpr double kRunning = 1e-6;  // of values up to about 2

const test::GoldenFile& golden() {
  static const test::GoldenFile file("unlearn_methods.safetensors");
  return file;
}

// Compares after every step.
class Watch final : public nn::EpochHook {
 public:
  Watch(std::string name, const nn::Model& model)
      : name_(std::move(name)), params_(model.params), before_(values()) {}
  nn::Continue after_step(const nn::FitPosition& at, const nn::StepResult&,
                          const StepScalars&) override {
    const std::string key = fmt::format("{}/{}/", name_, at.step - 1);
    CAPTURE(key);
    std::vector<double> moved = values();
    for (size_t i = 0; i < moved.size(); ++i) moved[i] = (moved[i] - before_[i]) / kLr;
    CHECK(test::compare(moved, golden().at(key + "moved")).worst <= kMoved);
    CHECK(test::compare(test::in_pytorch_order(params_.statistics(), params_.statistic_values()),
                        golden().at(key + "running"))
              .worst <= kRunning);
    ++steps;
    return nn::Continue::yes;
  }
  nn::Continue after_epoch(const nn::FitPosition&) override { return nn::Continue::yes; }
  int steps = 0;

 private:
  std::vector<double> values() const {
    return test::in_pytorch_order(params_.parameters(), params_.values());
  }
  std::string name_;
  const ParamStore& params_;
  std::vector<double> before_;
};

nn::Optimizer sgd(const nn::Model& model) {
  return {model.params, {.kind = nn::OptimKind::sgd, .momentum = 0.9f, .weight_decay = 5e-4f}};
}

// How many steps were compared.
int run(const char* name, nn::Model& model, nn::Step& step, BatchSource& source, int epochs) {
  Watch watch(name, model);
  nn::FitConfig config{.epochs = epochs, .lr = kLr, .schedule = {}, .seed = test::kGoldenSeed};
  config.schedule.kind = nn::ScheduleKind::constant;
  nn::fit(config, source, step, watch);
  return watch.steps;
}

StepConfig one_side(const char* objective_name) {
  StepConfig config;
  config.forget = &objective(objective_name);
  config.beta = 0;
  config.teachers = {.seed = test::kGoldenSeed,
                     .fgsm_step = 0.1,
                     .mean = {0.5f, 0.45f, 0.4f},
                     .std = {0.25f, 0.2f, 0.3f}};
  config.batches_per_epoch = 2;
  return config;
}

}  // namespace

TEST_CASE("golden: ft-l1's penalty halves, then ends") {
  nn::Model model = golden().model();
  nn::Optimizer optimizer = sgd(model);
  test::GoldenSide forget(golden(), "forget"), retain(golden(), "retain");
  StepConfig config;
  config.retain = &objective("ce-l1");
  config.beta = 1;
  config.leads = Leads::retain;
  config.numbers = kPenalty;
  config.batches_per_epoch = 2;
  UnlearnStep step(model, optimizer, forget, config);
  CHECK(run("ft-l1", model, step, retain, 3) == 6);
}

TEST_CASE("golden: scrub goes away from the teacher on F for an epoch, and near it on R") {
  nn::Model model = golden().model();
  nn::Optimizer optimizer = sgd(model);
  test::GoldenSide forget(golden(), "forget"), retain(golden(), "retain");
  StepConfig away = one_side("distil-away"), keep = one_side("distil-keep");
  away.numbers = keep.numbers = kScrub;
  UnlearnStep first(model, optimizer, retain, away), second(model, optimizer, retain, keep);
  InTurnSource source(forget, retain, 1);
  InTurnStep step(first, second, source);
  CHECK(run("scrub", model, step, source, 2) == 6);
}

TEST_CASE("golden: badteacher's student follows two teachers in a batch") {
  for (const bool mean_over_classes : {false, true}) {
    nn::Model model = golden().model();
    nn::Optimizer optimizer = sgd(model);
    test::GoldenSide mixed(golden(), "mixed"), retain(golden(), "retain");
    StepConfig config = one_side("imitate-by-side");
    for (int64_t k = 0; k < golden().batches("forget"); ++k) {
      const Tensor index = golden().integers("forget/index", k);
      config.teachers.forgotten.insert(config.teachers.forgotten.end(), index.as<int32_t>(),
                                       index.as<int32_t>() + index.size());
    }
    config.numbers = {.temperature = 2, .mean_over_classes = mean_over_classes};
    UnlearnStep step(model, optimizer, retain, config);
    CHECK(run(mean_over_classes ? "badteacher-badt" : "badteacher", model, step, mixed, 1) == 2);
  }
}

TEST_CASE("golden: boundary-shrink's labels lie one FGSM step away") {
  nn::Model model = golden().model();
  const StepConfig config = one_side("nearest-class");
  const Teachers teachers(model.params, {Teacher::beyond_boundary}, config.teachers);
  for (int64_t k = 0; k < 2; ++k) {
    const Tensor logits =
        teachers.logits(Teacher::beyond_boundary, *model.network, golden().batch("forget", k));
    const Tensor nearest = golden().integers("nearest", k);
    for (int64_t i = 0; i < nearest.size(); ++i) {
      const float* row = logits.data() + i * test::kGoldenClasses;
      CHECK(std::max_element(row, row + test::kGoldenClasses) - row == nearest.as<int32_t>()[i]);
    }
  }
  nn::Optimizer optimizer = sgd(model);
  test::GoldenSide forget(golden(), "forget"), retain(golden(), "retain");
  UnlearnStep step(model, optimizer, retain, config);
  CHECK(step.passes() == 2);
  CHECK(run("boundary-shrink", model, step, forget, 1) == 2);
}

TEST_CASE("golden: boundary-expand's class more begins at Xavier's values and takes F in") {
  const nn::Model model = golden().model();
  nn::register_model({"tiny", "", model.spec,
                      [](const nn::InputSpec& s) { return nn::build<test::TinyCnn>("tiny", s); }});
  nn::Model wide = with_shadow_class(model, ShadowRow::xavier, test::kGoldenSeed);
  nn::Optimizer optimizer = sgd(wide);
  test::GoldenSide forget(golden(), "forget"), retain(golden(), "retain");
  UnlearnStep step(wide, optimizer, retain, one_side("shadow-class"));
  CHECK(run("boundary-expand", wide, step, forget, 1) == 2);
}

}  // namespace expunge::unlearn
