#include <doctest/doctest.h>

#include <cmath>

#include "nn/layers.h"
#include "nn/model_file.h"
#include "support/parity.h"
#include "support/tiny_models.h"
#include "unlearn/step.h"

// Two steps of every method and gate of the paper, against tools/golden_unlearn.py: numpy, in
// double, from the same weights and batches. NaN in the file: rounding decides there.
namespace expunge::unlearn {
namespace {

constexpr int64_t kClasses = 5, kSteps = 2;
constexpr uint64_t kSeed = 9;  // SEED there
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

const SafeTensors& golden() {
  static const SafeTensors file =
      read_safetensors(std::filesystem::path(EXPUNGE_GOLDEN) / "unlearn_step.safetensors");
  return file;
}

const NamedTensor& at(const std::string& name) {
  const NamedTensor* t = golden().find(name);
  REQUIRE_MESSAGE(t != nullptr, name);
  return *t;
}

// Row `step` of a (steps, N) tensor of whole numbers.
Tensor integers(const NamedTensor& t, int64_t step) {
  const int64_t N = t.shape[1];
  Tensor out({N}, DType::i32);
  for (int64_t i = 0; i < N; ++i)
    out.as<int32_t>()[i] = static_cast<int32_t>(t.values.data()[step * N + i]);
  return out;
}

class Side final : public BatchSource {
 public:
  explicit Side(std::string name) : name_(std::move(name)) {}
  int64_t samples() const override { return kSteps * at(name_ + "/x").shape[1]; }
  int64_t batches() const override { return kSteps; }
  void start(int, int64_t first) override { next_ = first; }
  bool next(Batch& batch) override {
    if (next_ == kSteps) return false;
    const NamedTensor& x = at(name_ + "/x");
    const std::vector<int64_t> shape(x.shape.begin() + 1, x.shape.end());
    batch = {.x = test::nhwc(x.values.data() + next_ * x.values.size() / kSteps, shape),
             .labels = integers(at(name_ + "/labels"), next_),
             .index = integers(at(name_ + "/index"), next_)};
    ++next_;
    return true;
  }

 private:
  std::string name_;
  int64_t next_ = 0;
};

nn::Model start() {
  nn::Model model = nn::build<test::TinyCnn>(
      "tiny", {.height = 8, .width = 8, .channels = 3, .classes = kClasses});
  SafeTensors weights;
  for (const NamedTensor& t : golden().tensors)
    if (t.name.starts_with("w/")) weights.tensors.push_back({t.name.substr(2), t.shape, t.values});
  nn::fill_model(weights, "unlearn_step", model);
  return model;
}

// All tensors in PyTorch's order, one after the other.
std::vector<double> flat(const RangeTable& table, const Tensor& values) {
  std::vector<double> out;
  for (const NamedTensor& t : nn::to_pytorch(table, values))
    out.insert(out.end(), t.values.span().begin(), t.values.span().end());
  return out;
}

// The largest difference, and how many values could be compared.
struct Compared {
  double worst = 0;
  int64_t count = 0;
};
Compared compare(std::span<const double> ours, const NamedTensor& theirs) {
  Compared result;
  REQUIRE(std::ssize(ours) == theirs.values.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    const double expected = double{theirs.values.data()[i]};
    if (std::isnan(expected)) continue;
    result.worst = std::max(result.worst, std::abs(ours[i] - expected));
    ++result.count;
  }
  return result;
}

void check(const Method& method, const std::string& gate) {
  nn::Model model = start();
  nn::Optimizer optimizer(model.params, {.kind = nn::OptimKind::adam, .weight_decay = 0});
  Side forget("forget"), retain("retain");
  StepConfig config;
  config.forget = &objective(method.forget);
  config.retain = &objective(method.retain);
  config.gate = GateSpec::parse(gate);
  config.saliency_pass = method.saliency_pass && config.gate.row->uses.saliency;
  config.batches_per_epoch = kSteps;
  UnlearnStep step(model, optimizer, retain, config);
  const ParamStore& params = model.params;
  const std::vector<double> before = flat(params.parameters(), params.values());
  Batch batch;
  for (int64_t t = 0; t < kSteps; ++t) {
    REQUIRE(forget.next(batch));
    step.run(batch, {.seed = kSeed, .step = t, .lr = kLr});
    std::vector<double> moved = flat(params.parameters(), params.values());
    for (size_t i = 0; i < moved.size(); ++i) moved[i] = (moved[i] - before[i]) / double{kLr};
    const std::string key =
        fmt::format("{}/{}/{}/", method.name, gate.substr(0, gate.find(':')), t);
    CAPTURE(key);
    const Compared weights = compare(moved, at(key + "moved"));
    CHECK(weights.worst <= kMoved);
    CHECK(static_cast<double>(weights.count) >= kLeastCompared * static_cast<double>(moved.size()));
    const Compared running =
        compare(flat(params.statistics(), params.statistic_values()), at(key + "running"));
    CHECK(running.worst <= kRunning);
    CHECK(running.count == params.statistics().size());
  }
}

}  // namespace

TEST_CASE("golden: wrong labels are those of an independent Philox") {
  for (int64_t step = 0; step < kSteps; ++step) {
    const Tensor labels = integers(at("forget/labels"), step),
                 index = integers(at("forget/index"), step),
                 wrong = integers(at("forget/wrong"), step);
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
