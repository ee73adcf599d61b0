#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/optim.h"
#include "unlearn/step.h"

// What there is to unlearn with: a method is a forget objective, a retain objective and what comes
// before them; a preset is how its source ran it (docs/unlearning.md).
namespace expunge::unlearn {

// What happens to the weights before the first step. It counts as the first epoch.
enum class Prologue : unsigned char {
  none,
  // msg: weights that matter little to both sides are multiplied by N(0, 1)
  perturb,
  // ct: every kernel is transposed, height by width
  transpose,
};

// Methods that change the weights once, by what gradients say (unlearn/one_shot.h).
enum class OneShotKind : unsigned char { none, ssd, fisher, influence };

// How an epoch goes through the two sets.
enum class Order : unsigned char {
  together,      // a step a forget batch, joined by a retain batch: d = beta g_r + (1 - beta) g_f
  in_turn,       // a step a forget batch, then a step a retain batch, until both sets are through
  retain_leads,  // a step a retain batch, joined by a forget batch where something looks at one
  mixed,         // a step a batch of both sets shuffled together, by one objective for both sides
  once,          // no optimizer: of methods that change the weights once
};

// Settings that some methods have; absent in those that do not.
struct MethodNumbers {
  std::optional<double> alpha{}, gamma{}, temperature{}, fgsm_step{};
};

struct Preset {
  const char* name;
  Order order;
  nn::OptimKind optimizer;
  double lr, momentum, weight_decay, beta;
  int epochs;
  int64_t batch_size;
  const char* gate;
  kernels::GateOn gate_on;
  const char* source;
  const char* schedule = "constant";
  int64_t forget_batch_size = 0;  // 0: batch_size
  int forget_epochs = 0;          // in_turn: the first ones, which alone go through F; 0: all
  double retain_fraction = 1;     // of R, drawn once
  MethodNumbers numbers{};        // absent: those of the method's own preset
};
const std::vector<Preset>& presets();
const Preset& preset(const std::string& name);  // unknown: ExitCode::usage

struct Method {
  const char* name;
  const char* forget;  // objective, or null
  const char* retain;
  bool saliency_pass;  // saliency is taken from the gradient of -CE(F), not from g_f
  Prologue prologue;
  const char* preset;  // the one taken where none is named
  const char* summary;
  OneShotKind one_shot = OneShotKind::none;
  const char* mixed = nullptr;  // the objective of Order::mixed, or null
  bool shadow_class = false;    // it has a class more while it unlearns (shadow_class.h)
};
const std::vector<Method>& methods();
// By name; what follows a colon or comma is the method's own (OneShotSpec). Unknown:
// ExitCode::usage, names the nearest.
const Method& method(const std::string& text);

// What published code does otherwise than its paper, or than the code that a method follows.
struct Compat {
  const char* name;
  const char* method;  // that has it; "": all
  const char* summary;
};
const std::vector<Compat>& compats();
const Compat& compat(const std::string& name);  // unknown: ExitCode::usage, names the nearest

}  // namespace expunge::unlearn
