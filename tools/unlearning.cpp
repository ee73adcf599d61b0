#include "tools/unlearning.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "tools/method_options.h"
#include "tools/unlearn_batches.h"
#include "unlearn/in_turn.h"
#include "unlearn/saliency.h"
#include "unlearn/shadow_class.h"

namespace expunge::tools {
namespace {

using unlearn::Order;

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
  config.in_backward = compute_stream().device == Device::cpu;
  config.gate = unlearn::GateSpec::parse(s.text("gate"));
  config.estimator = unlearn::EstimatorSpec::parse(estimator_text(s));
  config.gate_on =
      s.text("gate-on") == "update" ? kernels::GateOn::update : kernels::GateOn::gradient;
  config.warmup = s.text("warmup-gate") == "hold" ? unlearn::Warmup::hold : unlearn::Warmup::none;
  config.batch_norm = s.text("bn") == "train"    ? BatchNormMode::train
                      : s.text("bn") == "frozen" ? BatchNormMode::frozen
                                                 : BatchNormMode::eval;
  config.joint = s.text("passes") == "joint";
  config.saliency_pass = method.saliency_pass && config.gate.row->uses.saliency;
  config.numbers = objective_numbers(s);
  return config;
}

void check_combination(const Settings& s, const unlearn::Method& method,
                       const unlearn::Preset& preset) {
  const unlearn::GateSpec gate = unlearn::GateSpec::parse(s.text("gate"));
  const unlearn::EstimatorSpec estimator = unlearn::EstimatorSpec::parse(estimator_text(s));
  if (std::string_view(method.name) == "salun" && !gate.row->uses.mask)
    fail(ExitCode::usage,
         "--gate {}: salun is srl with saliency-global; --method srl takes any gate",
         s.text("gate"));
  if (preset.order == Order::once && method.one_shot == unlearn::OneShotKind::none)
    fail(ExitCode::usage, "--preset {}: is for the method {}", preset.name, preset.name);
  check_order(s, method, preset, gate);
  check_estimator(s, method, gate, estimator);
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
  otherwise("preset", preset.name);
  if (method.one_shot != unlearn::OneShotKind::none) {
    unlearn::OneShotSpec::parse(s.text("method"));
    resolve_one_shot(s, method);
  }
  const bool has_both = method.forget != nullptr && method.retain != nullptr;
  if (!has_both && s.given("beta") && s.real("beta") != (method.retain != nullptr ? 1 : 0))
    fail(ExitCode::usage, "--beta: {} has only one side", method.name);
  resolve_method_options(s, method, preset);
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
  fit_.schedule = nn::Schedule::parse(s.text("schedule"));
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
  if (method_.one_shot != unlearn::OneShotKind::none) {
    once_ = one_shot_parts(s, e, method_);
    passes_ = once_.step->passes();
    optimizer_ = std::make_unique<nn::Optimizer>(e.model.params, optimizer_config(s));
    return;
  }
  if (method_.shadow_class)
    widened_ = unlearn::with_shadow_class(
        e.model, has_compat(s, "salun") ? unlearn::ShadowRow::pytorch : unlearn::ShadowRow::xavier,
        fit_.seed);
  forget_ = forget_batches();
  retain_ = retain_batches();
  optimizer_ = std::make_unique<nn::Optimizer>(model().params, optimizer_config(s));
  unlearn::StepConfig config = step_config(s, method_);
  config.teachers = teacher_config(s, e);
  if (config.gate.row->uses.mask) config.mask = mask_ = model().params.make_buffer();
  add_steps(std::move(config));
}

// The step and what it runs on, as the preset's order has it.
void Unlearning::add_steps(unlearn::StepConfig config) {
  const auto step = [&](unlearn::StepConfig of, BatchSource& other) {
    return std::make_unique<unlearn::UnlearnStep>(model(), *optimizer_, other, std::move(of));
  };
  config.batches_per_epoch = forget_->batches();
  switch (order()) {
    case Order::together:
      forget_step_ = step(config, *retain_);
      break;
    case Order::retain_leads:
      config.leads = unlearn::Leads::retain;
      config.batches_per_epoch = retain_->batches();
      forget_step_ = step(config, *forget_);
      break;
    case Order::in_turn: {  // each side by itself: a step down its own objective
      unlearn::StepConfig retain = config;
      retain.forget = config.retain;
      config.retain = retain.retain = nullptr;
      config.beta = retain.beta = 0;
      forget_step_ = step(config, *retain_);
      retain_step_ = step(retain, *retain_);
      auto turns =
          std::make_unique<unlearn::InTurnSource>(*forget_, *retain_, forget_epochs(settings_));
      in_turn_ = std::make_unique<unlearn::InTurnStep>(*forget_step_, *retain_step_, *turns);
      both_ = std::move(turns);
      break;
    }
    case Order::mixed:
      config.forget = &unlearn::objective(method_.mixed);
      config.retain = nullptr;
      config.beta = 0;
      both_ = mixed_batches();
      config.batches_per_epoch = both_->batches();
      forget_step_ = step(config, *retain_);
      break;
    case Order::once:
      EXPUNGE_CHECK(false, "unlearning: {} has no steps of this kind", method_.name);
  }
  passes_ = in_turn_ ? 1 : forget_step_->passes();
  if (settings_.integer("audit") > 0) add_audit(config);
}

Order Unlearning::order() const {
  return preset_of(settings_, method_).order;
}

BatchSource& Unlearning::source() {
  if (once_.source) return *once_.source;
  if (both_) return *both_;
  return order() == Order::retain_leads ? *retain_ : *forget_;
}

const nn::Model& Unlearning::shown() const {
  if (widened_) unlearn::drop_shadow_class(*widened_, e_.model);
  return e_.model;
}

std::unique_ptr<BatchSource> Unlearning::forget_batches() const {
  return unlearn_batches(
      settings_, e_.data,
      {.positions = e_.forgotten, .batch_size = settings_.integer("forget-batch-size")},
      method_.prologue);
}

// Full batches where a step joins both sides and there are enough samples.
std::unique_ptr<BatchSource> Unlearning::retain_batches() const {
  data::LoaderConfig config{.positions = retained_for_steps(settings_, e_),
                            .batch_size = settings_.integer("batch-size")};
  if (order() == Order::together && std::ssize(config.positions) >= config.batch_size)
    config.last = data::LastBatch::drop;
  return unlearn_batches(settings_, e_.data, std::move(config), method_.prologue);
}

std::unique_ptr<BatchSource> Unlearning::mixed_batches() const {
  std::vector<int32_t> positions = retained_for_steps(settings_, e_);
  positions.insert(positions.end(), e_.forgotten.begin(), e_.forgotten.end());
  return unlearn_batches(
      settings_, e_.data,
      {.positions = std::move(positions), .batch_size = settings_.integer("batch-size")},
      method_.prologue);
}

nn::Step& Unlearning::step() {
  if (once_.step) return *once_.step;
  if (audited_) return *audited_;
  return in_turn_ ? *in_turn_ : *forget_step_;
}

void Unlearning::add_audit(const unlearn::StepConfig& config) {
  audit_forget_ = forget_batches();
  audit_retain_ = retain_batches();
  audited_ = std::make_unique<unlearn::AuditedStep>(
      *forget_step_, model(), *audit_forget_, *audit_retain_,
      unlearn::AuditConfig{
          .batches = settings_.integer("audit"),
          .every = settings_.integer("audit-every"),
          .forget = config.forget != nullptr ? config.forget : &unlearn::objective("ascent"),
          .retain = config.retain != nullptr ? config.retain : &unlearn::objective("ce"),
          .batch_norm = config.batch_norm,
          .batches_per_epoch = config.batches_per_epoch,
          .teachers = config.teachers,
          .numbers = config.numbers});
}

int64_t Unlearning::prepare() {
  int64_t passes = 0;
  if (mask_) {
    const Tensor mask = unlearn::saliency_mask(
        model(), *forget_, unlearn::GateSpec::parse(settings_.text("gate")).value);
    mask_.copy_from(mask);
    passes += forget_->batches();
  }
  switch (method_.prologue) {
    case unlearn::Prologue::none:
      break;
    case unlearn::Prologue::perturb:
      unlearn::perturb_indifferent(model(), *forget_, *retain_, fit_.seed);
      passes += 2 * forget_->batches();
      break;
    case unlearn::Prologue::transpose:
      unlearn::transpose_kernels(model());
      break;
  }
  return passes;
}

int64_t Unlearning::steps() {
  return nn::total_steps(fit_, source());
}

std::vector<NamedBuffer> Unlearning::buffers() const {
  return once_.step ? once_.step->state() : forget_step_->state();
}

}  // namespace expunge::tools
