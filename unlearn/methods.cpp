#include "unlearn/methods.h"

#include "core/nearest.h"

namespace expunge::unlearn {
namespace {

template <class Row>
const Row& find(const std::vector<Row>& table, const char* what, const std::string& name) {
  std::vector<std::string> names;
  for (const Row& row : table) {
    if (name == row.name) return row;
    names.emplace_back(row.name);
  }
  fail(ExitCode::usage, "{} '{}' is not known{}", what, name, nearest_hint(name, names));
}

}  // namespace

const std::vector<Preset>& presets() {
  using nn::OptimKind;
  static const std::vector<Preset> table = {
      {"paper", Order::together, OptimKind::adam, 1e-4, 0, 0, 0.95, 30, 256, "none",
       kernels::GateOn::gradient, "arXiv 2511.02435 and its authors' code"},
      {"sparse", Order::together, OptimKind::sgd, 1e-4, 0.9, 5e-4, 0.95, 5, 256, "none",
       kernels::GateOn::gradient, "gradient ascent of Unlearn-Sparse (Jia et al. 2023)"},
      {"salun", Order::in_turn, OptimKind::sgd, 0.013, 0.9, 5e-4, 0.5, 10, 256,
       "saliency-global:0.5", kernels::GateOn::update, "SalUn (Fan et al. 2024), 10 % forgotten"},
  };
  return table;
}

const Preset& preset(const std::string& name) {
  return find(presets(), "preset", name);
}

const std::vector<Method>& methods() {
  static const std::vector<Method> table = {
      {"ft", nullptr, "ce", false, Prologue::none, "paper", "fine-tuning on the retained samples"},
      {"ga", "ascent", nullptr, false, Prologue::none, "sparse",
       "gradient ascent on the forgotten samples alone"},
      {"ngplus", "ascent", "ce", false, Prologue::none, "paper",
       "ascent on the forgotten samples, descent on the retained (NegGrad+)"},
      {"srl", "random-labels", "ce", true, Prologue::none, "paper",
       "random wrong labels for the forgotten samples"},
      {"salun", "random-labels", "ce", true, Prologue::none, "salun",
       "srl on the half of all weights that matter most to the forgotten samples"},
      {"scrub-paper", "scrub-away", "scrub-keep", true, Prologue::none, "paper",
       "away from the original network's answers on F, near them on R; not the original SCRUB: "
       "its term is no divergence"},
      {"msg", nullptr, "ce", false, Prologue::perturb, "paper",
       "weights with small gradients on both sides times N(0, 1), then ft"},
      {"ct", nullptr, "ce", false, Prologue::transpose, "paper", "kernels transposed, then ft"},
  };
  return table;
}

const Method& method(const std::string& name) {
  return find(methods(), "method", name);
}

}  // namespace expunge::unlearn
