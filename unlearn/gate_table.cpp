#include "unlearn/gate_table.h"

#include <charconv>

#include "core/check.h"
#include "core/nearest.h"

namespace expunge::unlearn {

const std::vector<GateRow>& gates() {
  static const std::vector<GateRow> table = {
      {"none", Gate::none, Scope::element, false, 0, 0, 0, "every parameter: w = 1"},
      {"and", Gate::conjunction, Scope::element, false, 0, 0, 0,
       "the signs of g_f and g_r agree (0 agrees)"},
      {"prob", Gate::prob, Scope::element, true, 0.3, 0, 1, "phi >= q"},
      {"focus", Gate::focus, Scope::element, false, 0, 0, 0, "w = phi"},
      {"bernoulli", Gate::bernoulli, Scope::element, false, 0, 0, 0, "w = 1 with probability phi"},
      {"saliency-global", Gate::saliency_global, Scope::element, true, 0.5, 0, 1,
       "this share of all parameters, the largest |gradient| over F, found before the first step"},
      {"saliency", Gate::saliency, Scope::tensor, true, 0.5, 0, 1,
       "|s| at least its quantile in the tensor, s = g_f or the gradient of -CE(F)"},
      {"opt", Gate::opt, Scope::tensor, false, 0, 0, 0,
       "drops the worst products g_f g_r of a tensor until the step is feasible"},
      {"focus-opt", Gate::focus_opt, Scope::tensor, false, 0, 0, 0, "opt on phi g_f and phi g_r"},
      {"random", Gate::random, Scope::tensor, true, 0.5, 0, 1,
       "this share of each tensor, drawn by lot: the control for sparsity"},
      {"global-opt", Gate::global_opt, Scope::model, false, 0, 0, 0, "opt over all parameters"},
      {"fdr", Gate::fdr, Scope::model, true, 0.3, 0, 1,
       "the most parameters whose mean 1 - phi is at most alpha"},
      {"top", Gate::top, Scope::model, true, 0.5, 0, 1, "this share, the highest phi"},
  };
  return table;
}

const GateRow& row_of(Gate gate) {
  for (const GateRow& row : gates())
    if (row.gate == gate) return row;
  fail(ExitCode::internal, "gate {} is not in the table", static_cast<int>(gate));
}

GateSpec GateSpec::parse(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  std::vector<std::string> names;
  for (const GateRow& row : gates()) {
    names.emplace_back(row.name);
    if (name != row.name) continue;
    GateSpec spec{row.gate, row.fallback};
    if (colon == text.npos) return spec;
    const char *begin = text.data() + colon + 1, *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, spec.value);
    if (!row.has_value || error != std::errc() || stop != end ||
        !(spec.value >= row.least && spec.value <= row.most))
      fail(ExitCode::usage, "gate '{}': expected {}{}", text, row.name,
           row.has_value ? fmt::format(" or {}:X, X from {} to {}", row.name, row.least, row.most)
                         : ", which has no value");
    return spec;
  }
  fail(ExitCode::usage, "gate '{}' is not known{}", name, nearest_hint(name, names));
}

}  // namespace expunge::unlearn
