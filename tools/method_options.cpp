#include "tools/method_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace expunge::tools {
namespace {

using unlearn::MethodNumbers, unlearn::Order;

// A number is a method's where the method's own preset has it; `otherwise` is what others get.
struct Number {
  const char* option;
  std::optional<double> MethodNumbers::*member;
  double otherwise;
};
constexpr Number kNumbers[] = {{"alpha", &MethodNumbers::alpha, 0},
                               {"gamma", &MethodNumbers::gamma, 1},
                               {"temperature", &MethodNumbers::temperature, 1},
                               {"fgsm-step", &MethodNumbers::fgsm_step, 0.1}};

// Of a preset's options: takes its value where none was given.
void otherwise(Settings& s, const char* name, const std::string& value) {
  if (s.text(name).empty()) s.set(name, value, s.source(name), "preset");
}

void resolve_numbers(Settings& s, const unlearn::Method& method, const unlearn::Preset& preset) {
  const MethodNumbers& own = unlearn::preset(method.preset).numbers;
  for (const Number& n : kNumbers) {
    const std::optional<double> value =
        preset.numbers.*n.member ? preset.numbers.*n.member : own.*n.member;
    const bool has = (own.*n.member).has_value();
    if (!has && s.given(n.option) && s.real(n.option) != n.otherwise)
      fail(ExitCode::usage, "--{}: {} has no such number", n.option, method.name);
    otherwise(s, n.option, fmt::format("{}", has ? *value : n.otherwise));
  }
}

void check_compat(const Settings& s, const unlearn::Method& method) {
  for (const std::string& name : s.list("compat")) {
    const unlearn::Compat& row = unlearn::compat(name);
    if (*row.method != 0 && std::string_view(row.method) != method.name)
      fail(ExitCode::usage, "--compat {}: is about {}, and the method is {}", name, row.method,
           method.name);
  }
}

bool is_penalised(const unlearn::Method& method) {
  return method.retain != nullptr && std::string_view(method.retain) == "ce-l1";
}

// Where a step has one side, or both in one batch, there are no two gradients to look at.
void check_one_gradient(const Settings& s, const unlearn::Preset& preset,
                        const unlearn::GateSpec& gate) {
  const char* how = preset.order == Order::mixed ? "mixes the two sides in a batch"
                                                 : "takes the two sides in turn";
  if (gate.row->uses.forget || gate.row->uses.retain)
    fail(ExitCode::usage,
         "--gate {}: preset {} {}, and this gate needs both gradients in one step; --preset paper "
         "joins them",
         s.text("gate"), preset.name, how);
  if (s.integer("audit") > 0)
    fail(ExitCode::usage, "--audit: preset {} {}, expected one that joins them", preset.name, how);
  if (s.given("beta"))
    fail(ExitCode::usage, "--beta: preset {} {}, so nothing is weighed", preset.name, how);
}

}  // namespace

bool has_compat(const Settings& s, const char* name) {
  return std::ranges::count(s.list("compat"), name) > 0;
}

void resolve_method_options(Settings& s, const unlearn::Method& method,
                            const unlearn::Preset& preset) {
  resolve_numbers(s, method, preset);
  check_compat(s, method);
  if (s.integer("no-l1-epochs") > 0 && !is_penalised(method))
    fail(ExitCode::usage, "--no-l1-epochs: {} has no penalty", method.name);
  if (preset.order != Order::in_turn && s.integer("forget-epochs") > 0)
    fail(ExitCode::usage,
         "--forget-epochs: preset {} does not take the two sides in turn, so every epoch goes "
         "through both",
         preset.name);
  otherwise(s, "forget-epochs", fmt::format("{}", preset.forget_epochs));
  otherwise(s, "retain-fraction", fmt::format("{}", preset.retain_fraction));
  otherwise(s, "schedule", preset.schedule);
  if (has_compat(s, "ufv") && preset.order != Order::once)
    s.set("unlearn-augment", "first-epoch", Source::fallback, "compat ufv");
  // The preset's two sizes belong together: one that was given is the size of both sides.
  const int64_t pair = preset.forget_batch_size > 0 ? preset.forget_batch_size : preset.batch_size;
  otherwise(s, "forget-batch-size",
            s.text("batch-size").empty() ? fmt::format("{}", pair) : s.text("batch-size"));
}

void check_order(const Settings& s, const unlearn::Method& method, const unlearn::Preset& preset,
                 const unlearn::GateSpec& gate) {
  switch (preset.order) {
    case Order::together:
    case Order::once:
      return;
    case Order::retain_leads:
      if (method.retain == nullptr)
        fail(ExitCode::usage,
             "--preset {}: goes through the retained samples, and {} has no use "
             "for them",
             preset.name, method.name);
      return;
    case Order::in_turn:
      if (method.forget == nullptr || method.retain == nullptr)
        fail(ExitCode::usage, "--preset {}: takes two sides in turn, and {} has only one",
             preset.name, method.name);
      return check_one_gradient(s, preset, gate);
    case Order::mixed:
      if (method.mixed == nullptr)
        fail(ExitCode::usage,
             "--preset {}: mixes the two sides in a batch, and {} has no objective "
             "for that",
             preset.name, method.name);
      return check_one_gradient(s, preset, gate);
  }
}

void check_estimator(const Settings& s, const unlearn::Method& method,
                     const unlearn::GateSpec& gate, const unlearn::EstimatorSpec& estimator) {
  if (is_penalised(method) && gate.row->uses.phi && estimator.kind == kernels::Estimator::moments)
    fail(ExitCode::usage,
         "--estimator {}: looks into the batch, and {} has a penalty that no image is the cause "
         "of; welford:8 and ema:0.9 go with it",
         s.text("estimator"), method.name);
}

unlearn::ObjectiveNumbers objective_numbers(const Settings& s) {
  return {.alpha = s.real("alpha"),
          .gamma = s.real("gamma"),
          .temperature = s.real("temperature"),
          .penalty_epochs = static_cast<int>(s.integer("epochs") - s.integer("no-l1-epochs")),
          .mean_over_classes = has_compat(s, "badt"),
          .away_by_alpha = has_compat(s, "comparator")};
}

unlearn::TeacherConfig teacher_config(const Settings& s, const Experiment& e) {
  return {.seed = static_cast<uint64_t>(s.integer("seed")),
          .forgotten = e.forgotten,
          .fgsm_step = s.real("fgsm-step"),
          .mean = e.data.mean,
          .std = e.data.std};
}

int forget_epochs(const Settings& s) {
  const auto wanted = static_cast<int>(s.integer("forget-epochs"));
  if (wanted == 0) return std::numeric_limits<int>::max();
  return wanted + (has_compat(s, "rum") ? 1 : 0);
}

}  // namespace expunge::tools
