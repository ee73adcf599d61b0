#include "tools/unlearning.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "unlearn/in_turn.h"
#include "unlearn/saliency.h"

namespace expunge::tools {
namespace {

using unlearn::Order;

// Images augmented in epoch `first` only, as the code of arXiv 2511.02435 does.
class FirstEpochAugmented final : public BatchSource {
 public:
  FirstEpochAugmented(const data::Dataset& set, const data::LoaderConfig& config, int first)
      : augmented_(set, config), plain_(set, without_augmentation(config)), first_(first) {}
  static data::LoaderConfig without_augmentation(data::LoaderConfig config) {
    config.crop = config.flip = false;
    return config;
  }
  int64_t samples() const override { return plain_.samples(); }
  int64_t batches() const override { return plain_.batches(); }
  void start(int epoch, int64_t first_batch) override {
    now_ = epoch == first_ ? &augmented_ : &plain_;
    now_->start(epoch, first_batch);
  }
  bool next(Batch& batch) override { return now_->next(batch); }

 private:
  data::Loader augmented_, plain_;
  data::Loader* now_ = &plain_;
  int first_;
};

std::unique_ptr<BatchSource> batches_of(const Settings& s, const data::Dataset& set,
                                        const std::vector<int32_t>& positions, data::LastBatch last,
                                        unlearn::Prologue prologue) {
  data::LoaderConfig config{.positions = positions,
                            .batch_size = s.integer("batch-size"),
                            .shuffle = true,
                            .seed = static_cast<uint64_t>(s.integer("seed")),
                            .last = last};
  data::parse_augment(s.text("augment"), config);
  const std::string& when = s.text("unlearn-augment");
  if (when == "first-epoch" && (config.crop || config.flip))
    return std::make_unique<FirstEpochAugmented>(
        set, config, prologue == unlearn::Prologue::none ? 0 : unlearn::kBeforeFirstStep);
  if (when == "none") config = FirstEpochAugmented::without_augmentation(config);
  return std::make_unique<data::Loader>(set, config);
}

std::string estimator_text(const Settings& s) {
  const std::string& text = s.text("estimator");
  const std::string& cdf = s.text("cdf");
  return cdf == "default" || text.find("cdf=") != text.npos ? text : text + ",cdf=" + cdf;
}

unlearn::StepConfig step_config(const Settings& s, const unlearn::Method& method) {
  const auto objective = [](const char* name) {
    return name == nullptr ? nullptr : &unlearn::objective(name);
  };
  unlearn::StepConfig config;
  config.forget = objective(method.forget);
  config.retain = objective(method.retain);
  config.beta = s.real("beta");
  config.gate = unlearn::GateSpec::parse(s.text("gate"));
  config.estimator = unlearn::EstimatorSpec::parse(estimator_text(s));
  config.gate_on =
      s.text("gate-on") == "update" ? kernels::GateOn::update : kernels::GateOn::gradient;
  config.warmup = s.text("warmup-gate") == "hold" ? unlearn::Warmup::hold : unlearn::Warmup::none;
  config.batch_norm = s.text("bn") == "train"    ? BatchNormMode::train
                      : s.text("bn") == "frozen" ? BatchNormMode::frozen
                                                 : BatchNormMode::eval;
  config.saliency_pass = method.saliency_pass && config.gate.row->uses.saliency;
  return config;
}

void check_in_turn(const Settings& s, const unlearn::Method& method, const unlearn::Preset& preset,
                   const unlearn::GateSpec& gate) {
  if (method.forget == nullptr || method.retain == nullptr)
    fail(ExitCode::usage, "--preset {}: takes two sides in turn, and {} has only one", preset.name,
         method.name);
  if (gate.row->uses.forget || gate.row->uses.retain)
    fail(ExitCode::usage,
         "--gate {}: preset {} takes the two sides in turn, and this gate needs both gradients in "
         "one step",
         s.text("gate"), preset.name);
  if (s.integer("audit") > 0)
    fail(ExitCode::usage,
         "--audit: preset {} takes the two sides in turn, expected one that joins them",
         preset.name);
  if (s.given("beta"))
    fail(ExitCode::usage, "--beta: preset {} takes the two sides in turn, so nothing is weighed",
         preset.name);
}

void check_combination(const Settings& s, const unlearn::Method& method,
                       const unlearn::Preset& preset) {
  const unlearn::GateSpec gate = unlearn::GateSpec::parse(s.text("gate"));
  const unlearn::EstimatorSpec estimator = unlearn::EstimatorSpec::parse(estimator_text(s));
  if (std::string_view(method.name) == "salun" && !gate.row->uses.mask)
    fail(ExitCode::usage,
         "--gate {}: salun is srl with saliency-global; --method srl takes any gate",
         s.text("gate"));
  if (preset.order == Order::in_turn) check_in_turn(s, method, preset, gate);
  // phi <= 3/4 after the paper's first step, and mostly below afterwards: nothing would be kept
  if (std::string_view(gate.row->name) == "fdr" && gate.value < 0.25 &&
      estimator.kind == kernels::Estimator::paper)
    fail(ExitCode::usage,
         "--gate {}: below fdr:0.25 the estimator paper keeps no parameter at all; welford:8 or "
         "ema:0.9 tell more",
         s.text("gate"));
}

const unlearn::Preset& preset_of(const Settings& s, const unlearn::Method& method) {
  return unlearn::preset(s.text("preset").empty() ? method.preset : s.text("preset"));
}

}  // namespace

void resolve_preset(Settings& s) {
  const unlearn::Method& method = unlearn::method(s.text("method"));
  const unlearn::Preset& preset = preset_of(s, method);
  const auto otherwise = [&s](const char* name, const std::string& value) {
    const std::string& now = s.text(name);
    if (now.empty() || now == "preset") s.set(name, value, s.source(name), "preset");
  };
  const bool has_both = method.forget != nullptr && method.retain != nullptr;
  if (!has_both && s.given("beta") && s.real("beta") != (method.retain != nullptr ? 1 : 0))
    fail(ExitCode::usage, "--beta: {} has only one side", method.name);
  otherwise("preset", preset.name);
  otherwise("beta",
            !has_both ? (method.retain != nullptr ? "1" : "0") : fmt::format("{}", preset.beta));
  otherwise("gate", preset.gate);
  otherwise("gate-on", preset.gate_on == kernels::GateOn::update ? "update" : "gradient");
  otherwise("optimizer", preset.optimizer == nn::OptimKind::sgd ? "sgd" : "adam");
  otherwise("lr", fmt::format("{}", preset.lr));
  otherwise("momentum", fmt::format("{}", preset.momentum));
  otherwise("weight-decay", fmt::format("{}", preset.weight_decay));
  otherwise("epochs", fmt::format("{}", preset.epochs));
  otherwise("batch-size", fmt::format("{}", preset.batch_size));
  check_combination(s, method, preset);
}

Unlearning::Unlearning(const Settings& s, Experiment& e)
    : settings_(s), e_(e), method_(unlearn::method(s.text("method"))) {
  fit_.epochs = static_cast<int>(s.integer("epochs"));
  fit_.max_steps = s.integer("max-steps");
  fit_.lr = s.real("lr");
  fit_.schedule = nn::Schedule::parse("constant");
  fit_.seed = static_cast<uint64_t>(s.integer("seed"));
  if (s.integer("smoke") > 0) {
    shorten_for_smoke(e, s);
    fit_.epochs = 1;
  } else if (method_.prologue != unlearn::Prologue::none) {
    if (fit_.epochs < 2)
      fail(ExitCode::usage,
           "--epochs: the first epoch of {} changes weights without a step, so it "
           "needs 2 or more",
           method_.name);
    --fit_.epochs;
  }
  forget_ = forget_batches();
  retain_ = retain_batches();
  optimizer_ = std::make_unique<nn::Optimizer>(e.model.params, optimizer_config(s));
  unlearn::StepConfig config = step_config(s, method_);
  if (config.gate.row->uses.mask) config.mask = mask_ = e.model.params.make_buffer();
  config.batches_per_epoch = forget_->batches();
  passes_ = 1;
  if (!in_turn()) {
    forget_step_ = std::make_unique<unlearn::UnlearnStep>(e.model, *optimizer_, *retain_, config);
    passes_ = forget_step_->passes();
    if (s.integer("audit") > 0) add_audit(config);
    return;
  }
  // Each side by itself: a step down its own objective.
  unlearn::StepConfig retain = config;
  retain.forget = config.retain;
  config.retain = retain.retain = nullptr;
  config.beta = retain.beta = 0;
  forget_step_ = std::make_unique<unlearn::UnlearnStep>(e.model, *optimizer_, *retain_, config);
  retain_step_ = std::make_unique<unlearn::UnlearnStep>(e.model, *optimizer_, *retain_, retain);
  both_ = std::make_unique<unlearn::InTurnSource>(*forget_, *retain_);
  in_turn_ = std::make_unique<unlearn::InTurnStep>(*forget_step_, *retain_step_, forget_->batches(),
                                                   both_->batches());
}

bool Unlearning::in_turn() const {
  return preset_of(settings_, method_).order == Order::in_turn;
}

std::unique_ptr<BatchSource> Unlearning::forget_batches() const {
  return batches_of(settings_, e_.data, e_.forgotten, data::LastBatch::keep, method_.prologue);
}

// Full batches where a step joins both sides and there are enough samples.
std::unique_ptr<BatchSource> Unlearning::retain_batches() const {
  const bool full = std::ssize(e_.train) >= settings_.integer("batch-size") && !in_turn();
  return batches_of(settings_, e_.data, e_.train,
                    full ? data::LastBatch::drop : data::LastBatch::keep, method_.prologue);
}

nn::Step& Unlearning::step() {
  if (audited_) return *audited_;
  return in_turn_ ? *in_turn_ : *forget_step_;
}

void Unlearning::add_audit(const unlearn::StepConfig& config) {
  audit_forget_ = forget_batches();
  audit_retain_ = retain_batches();
  audited_ = std::make_unique<unlearn::AuditedStep>(
      *forget_step_, e_.model, *audit_forget_, *audit_retain_,
      unlearn::AuditConfig{
          .batches = settings_.integer("audit"),
          .every = settings_.integer("audit-every"),
          .forget = config.forget != nullptr ? config.forget : &unlearn::objective("ascent"),
          .retain = config.retain != nullptr ? config.retain : &unlearn::objective("ce"),
          .batch_norm = config.batch_norm,
          .batches_per_epoch = config.batches_per_epoch});
}

int64_t Unlearning::prepare() {
  int64_t passes = 0;
  if (mask_) {
    const Tensor mask = unlearn::saliency_mask(
        e_.model, *forget_, unlearn::GateSpec::parse(settings_.text("gate")).value);
    std::ranges::copy(mask.span(), mask_.data());
    passes += forget_->batches();
  }
  switch (method_.prologue) {
    case unlearn::Prologue::none:
      break;
    case unlearn::Prologue::perturb:
      unlearn::perturb_indifferent(e_.model, *forget_, *retain_, fit_.seed);
      passes += 2 * forget_->batches();
      break;
    case unlearn::Prologue::transpose:
      unlearn::transpose_kernels(e_.model);
      break;
  }
  return passes;
}

int64_t Unlearning::steps() const {
  const int64_t all = (both_ ? *both_ : *forget_).batches() * fit_.epochs;
  return fit_.max_steps > 0 ? std::min(all, fit_.max_steps) : all;
}

std::vector<NamedBuffer> Unlearning::buffers() const {
  return forget_step_->state();
}

}  // namespace expunge::tools
