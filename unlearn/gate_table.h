#pragma once

#include <string>
#include <vector>

namespace expunge::unlearn {

// How a gate looks at the model: a parameter alone, its tensor, or everything at once.
enum class Scope : unsigned char { element, tensor, model };

enum class Gate : unsigned char {
  none,
  conjunction,
  prob,
  focus,
  bernoulli,
  saliency_global,  // element
  saliency,
  opt,
  focus_opt,
  random,  // tensor
  global_opt,
  fdr,
  top  // model
};

struct GateSpec {
  Gate gate = Gate::none;
  double value = 0;  // prob: q; saliency: quantile; fdr: alpha; top, random: share that is kept
  // "prob:0.3", "and", "opt", ...; anything else: ExitCode::usage, the nearest name is given.
  static GateSpec parse(const std::string& text);
};
struct GateRow {
  const char* name;
  Gate gate;
  Scope scope;
  bool has_value;
  double fallback, least, most;  // of the value
  const char* summary;
};
const std::vector<GateRow>& gates();
const GateRow& row_of(Gate gate);

}  // namespace expunge::unlearn
