#include "unlearn/gate_table.h"

#include <charconv>
#include <cmath>

#include "core/check.h"
#include "core/nearest.h"
#include "core/tensor.h"
#include "kernels/elementwise.h"
#include "kernels/gates.h"

namespace expunge::unlearn {
namespace {

using kernels::ElementGate, kernels::Quantile;

int64_t share(double rho, size_t n) {
  return std::llround(rho * static_cast<double>(n));
}

// The quantiles that the published code takes (docs/unlearning.md).
void saliency_of_tensors(const GateInput& in, std::span<const kernels::GateTensor> tensors) {
  if (in.s.empty())
    return kernels::gate_saliency(in.stream, tensors, in.g_f, in.value, Quantile::linear, in.w);
  kernels::gate_saliency(in.stream, tensors, in.s, in.value, Quantile::midpoint, in.w);
}
void saliency(const GateInput& in) {
  const kernels::GateTensor whole{0, std::ssize(in.w)};
  saliency_of_tensors(in, {&whole, 1});
}

// phi is empty where the row does not use it: 1.
void opt(const GateInput& in) {
  kernels::gate_opt(in.stream, in.g_f, in.g_r, in.phi, in.beta, in.w);
}
void opt_of_tensors(const GateInput& in, std::span<const kernels::GateTensor> tensors) {
  kernels::gate_opt(in.stream, tensors, in.g_f, in.g_r, in.phi, in.beta, in.w);
}

void random(const GateInput& in) {
  const int64_t n = std::ssize(in.w);
  const Tensor lots({n}, DType::f32, in.stream);
  kernels::draw_lots(in.stream, n, in.scalars.seed, in.scalars.step, in.first, lots.data());
  kernels::gate_top(in.stream, lots.span(), share(in.value, in.w.size()), in.w);
}

void fdr(const GateInput& in) {
  kernels::gate_fdr(in.stream, in.phi, in.value, in.w);
}

void top(const GateInput& in) {
  kernels::gate_top(in.stream, in.phi, share(in.value, in.phi.size()), in.w);
}

constexpr GateUses kGradients{.forget = true, .retain = true},
    kPhi{.forget = true, .retain = true, .phi = true},
    kPhiAlone{.forget = true, .retain = true, .phi = true, .phi_alone = true};

}  // namespace

const std::vector<GateRow>& gates() {
  static const std::vector<GateRow> table = {
      {.name = "none",
       .scope = Scope::element,
       .element = ElementGate::none,
       .summary = "every parameter: w = 1"},
      {.name = "and",
       .scope = Scope::element,
       .uses = kGradients,
       .element = ElementGate::conjunction,
       .summary = "the signs of g_f and g_r agree (0 agrees)"},
      {.name = "prob",
       .scope = Scope::element,
       .uses = kPhi,
       .value = GateValue{.fallback = 0.3, .least = 0, .most = 1},
       .element = ElementGate::prob,
       .summary = "phi >= q"},
      {.name = "focus",
       .scope = Scope::element,
       .uses = kPhi,
       .element = ElementGate::focus,
       .summary = "w = phi"},
      {.name = "bernoulli",
       .scope = Scope::element,
       .uses = kPhi,
       .element = ElementGate::bernoulli,
       .summary = "w = 1 with probability phi"},
      {.name = "saliency-global",
       .scope = Scope::element,
       .uses = {.mask = true},
       .value = GateValue{.fallback = 0.5, .least = 0, .most = 1},
       .summary = "this share of all parameters, the largest |gradient| over F, found before the "
                  "first step"},
      {.name = "saliency",
       .scope = Scope::tensor,
       .uses = {.forget = true, .saliency = true},
       .value = GateValue{.fallback = 0.5, .least = 0, .most = 1},
       .weigh = saliency,
       .anywhere = true,
       .weigh_tensors = saliency_of_tensors,
       .recordable = true,
       .summary = "|s| at least its quantile in the tensor, s = g_f or the gradient of -CE(F)"},
      {.name = "opt",
       .scope = Scope::tensor,
       .uses = kGradients,
       .weigh = opt,
       .anywhere = true,
       .weigh_tensors = opt_of_tensors,
       .recordable = true,
       .summary = "drops the worst products g_f g_r of a tensor until the step is feasible"},
      {.name = "focus-opt",
       .scope = Scope::tensor,
       .uses = kPhi,
       .weigh = opt,
       .anywhere = true,
       .weigh_tensors = opt_of_tensors,
       .recordable = true,
       .summary = "opt on phi g_f and phi g_r"},
      {.name = "random",
       .scope = Scope::tensor,
       .value = GateValue{.fallback = 0.5, .least = 0, .most = 1},
       .weigh = random,
       .anywhere = true,
       .summary = "this share of each tensor, drawn by lot: the control for sparsity"},
      {.name = "global-opt",
       .scope = Scope::model,
       .uses = kGradients,
       .weigh = opt,
       .anywhere = true,
       .recordable = true,
       .summary = "opt over all parameters"},
      {.name = "fdr",
       .scope = Scope::model,
       .uses = kPhiAlone,
       .value = GateValue{.fallback = 0.3, .least = 0, .most = 1},
       .weigh = fdr,
       .anywhere = true,
       .recordable = true,
       .summary = "the most parameters whose mean 1 - phi is at most alpha"},
      {.name = "top",
       .scope = Scope::model,
       .uses = kPhiAlone,
       .value = GateValue{.fallback = 0.5, .least = 0, .most = 1},
       .weigh = top,
       .anywhere = true,
       .recordable = true,
       .summary = "this share, the highest phi"},
  };
  return table;
}

GateSpec GateSpec::parse(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  std::vector<std::string> names;
  for (const GateRow& row : gates()) {
    names.emplace_back(row.name);
    if (name != row.name) continue;
    const GateValue range = row.value.value_or(GateValue{});
    GateSpec spec{&row, range.fallback};
    if (colon == text.npos) return spec;
    const char *begin = text.data() + colon + 1, *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, spec.value);
    if (!row.value || error != std::errc() || stop != end ||
        !(spec.value >= range.least && spec.value <= range.most))
      fail(ExitCode::usage, "gate '{}': expected {}{}", text, row.name,
           row.value ? fmt::format(" or {}:X, X from {} to {}", row.name, range.least, range.most)
                     : ", which has no value");
    return spec;
  }
  fail(ExitCode::usage, "gate '{}' is not known{}", name, nearest_hint(name, names));
}

}  // namespace expunge::unlearn
