#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/step_scalars.h"
#include "kernels/gates.h"
#include "kernels/grad_alignment.h"

// The gates: how much of the step each parameter gets (docs/unlearning.md). One is a function and a
// row (docs/adding-a-gate.md).
namespace expunge::unlearn {

// How a gate looks at the model: a parameter alone, its tensor, or everything at once.
enum class Scope : unsigned char { element, tensor, model };

// What a gate is given: one tensor, or the whole model in the order of its ranges, without padding
// (but for weigh_tensors).
struct GateInput {
  Stream stream{};                  // where the spans lie: the CPU unless the row says `anywhere`
  std::span<const float> g_f, g_r;  // (n) the two gradients, of this batch; empty unless used
  std::span<const float> s;         // (n) gradient of -CE(F) with true labels; empty: g_f is it
  std::span<const float> phi;       // (n) P(signs agree); empty unless the row uses phi
  double beta, value;               // d = beta g_r + (1 - beta) g_f; the number behind the colon
  const StepScalars& scalars;       // seed and step, the key of random draws
  int64_t first;                    // logical index of element 0 among all parameters
  std::span<float> w;               // (n) out: every element, 0 to 1
};

// What w depends on. A side that the method lacks is probed, if the gate uses it.
struct GateUses {
  bool forget = false, retain = false, phi = false;
  bool phi_alone = false;  // the gradients make phi, and weigh does not look at them
  bool saliency = false;   // s, from a pass of its own where the forget objective is not -CE(F)
  bool mask = false;       // Scope::element: w is UpdateConfig::mask
};

// The number behind the colon.
struct GateValue {
  double fallback, least, most;
};

struct GateRow {
  const char* name;
  Scope scope;
  GateUses uses{};
  std::optional<GateValue> value{};
  kernels::ElementGate element = kernels::ElementGate::given;  // Scope::element
  void (*weigh)(const GateInput&) = nullptr;                   // the other scopes
  bool anywhere = false;  // weigh works in a GPU's memory; otherwise it is given copies on the CPU
  // Scope::tensor, in place of weigh on a GPU, where it is given: all tensors at once, which lie in
  // spans of the model's layout with padding between them; `first` is 0.
  void (*weigh_tensors)(const GateInput&, std::span<const kernels::GateTensor>) = nullptr;
  // It queues the same work in every step, and may be recorded there (unlearn/whole_gate.h): it
  // waits for nothing, sends nothing, and does not look at `scalars`.
  bool recordable = false;
  const char* summary = "";
};
const std::vector<GateRow>& gates();  // the first is `none`

struct GateSpec {
  const GateRow* row = gates().data();
  double value = 0;  // prob: q; saliency: quantile; fdr: alpha; top, random: share that is kept
  // "prob:0.3", "and", "opt", ...; anything else: ExitCode::usage, the nearest name is given.
  static GateSpec parse(const std::string& text);
};

}  // namespace expunge::unlearn
