#include "support/golden_file.h"
#include "unlearn/step.h"

// Two steps of every method and gate of the paper, against tools/golden_unlearn.py: numpy, in
// double, from the same weights and batches. NaN in the file: rounding decides there.
namespace expunge::unlearn {
namespace {

constexpr int64_t kClasses = test::kGoldenClasses, kSteps = 2;
constexpr uint64_t kSeed = test::kGoldenSeed;
constexpr float kLr = 1e-4f;
// In units of the learning rate: a weight below 1 is stored to 3e-8 or 3e-4 of it, in each step;
// Adam divides a gradient by its own size, of which rounding is at most a thousandth (SMALL there).
constexpr double kMoved = 2e-3;
// Absolute, of values up to about 2: sums of some hundred terms, then the moved weights.
constexpr double kRunning = 1e-6;
constexpr double kLeastCompared = 0.99;

struct Method {
  const char *name, *forget, *retain;
  bool saliency_pass;
};
constexpr Method kMethods[] = {{"ngplus", "ascent", "ce", false},
                               {"srl", "random-labels", "ce", true},
                               {"scrub-paper", "scrub-away", "scrub-keep", true}};
constexpr const char* kGates[] = {"none",         "and", "prob:0.3", "focus",
                                  "saliency:0.5", "opt", "focus-opt"};

const test::GoldenFile& golden() {
  static const test::GoldenFile file("unlearn_step.safetensors");
  return file;
}

void check(const Method& method, const std::string& gate) {
  nn::Model model = golden().model();
  nn::Optimizer optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0});
  test::GoldenSide forget(golden(), "forget"), retain(golden(), "retain");
  StepConfig config;
  config.forget = &objective(method.forget);
  config.retain = &objective(method.retain);
  config.gate = GateSpec::parse(gate);
  config.saliency_pass = method.saliency_pass && config.gate.row->uses.saliency;
  config.batches_per_epoch = kSteps;
  UnlearnStep step(model, optimizer, retain, config);
  const ParamStore& params = model.params;
  const std::vector<double> before = test::in_pytorch_order(params.parameters(), params.values());
  Batch batch;
  for (int64_t t = 0; t < kSteps; ++t) {
    REQUIRE(forget.next(batch));
    step.run(batch, {.seed = kSeed, .step = t, .lr = kLr});
    std::vector<double> moved = test::in_pytorch_order(params.parameters(), params.values());
    for (size_t i = 0; i < moved.size(); ++i) moved[i] = (moved[i] - before[i]) / double{kLr};
    const std::string key =
        fmt::format("{}/{}/{}/", method.name, gate.substr(0, gate.find(':')), t);
    CAPTURE(key);
    const test::Compared weights = test::compare(moved, golden().at(key + "moved"));
    CHECK(weights.worst <= kMoved);
    CHECK(static_cast<double>(weights.count) >= kLeastCompared * static_cast<double>(moved.size()));
    const test::Compared running =
        test::compare(test::in_pytorch_order(params.statistics(), params.statistic_values()),
                      golden().at(key + "running"));
    CHECK(running.worst <= kRunning);
    CHECK(running.count == params.statistics().size());
  }
}

}  // namespace

TEST_CASE("golden: wrong labels are those of an independent Philox") {
  for (int64_t step = 0; step < kSteps; ++step) {
    const Tensor labels = golden().integers("forget/labels", step),
                 index = golden().integers("forget/index", step),
                 wrong = golden().integers("forget/wrong", step);
    for (int64_t i = 0; i < labels.size(); ++i)
      CHECK(wrong_label(kSeed, step, index.as<int32_t>()[i], labels.as<int32_t>()[i], kClasses) ==
            wrong.as<int32_t>()[i]);
  }
}

TEST_CASE("golden: two steps of every method and gate are those of an independent computation") {
  for (const Method& method : kMethods)
    for (const char* gate : kGates) check(method, gate);
}

}  // namespace expunge::unlearn
