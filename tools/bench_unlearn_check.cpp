#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "kernels/isa.h"
#include "tools/bench_unlearn.h"

namespace expunge::tools {
namespace {

using kernels::ElementGate;
constexpr int kSteps = 2;
constexpr int64_t kStride = 997;       // every 997th parameter is compared
constexpr int64_t kExhaustive = 4096;  // parameters of a tensor whose prefixes are all tried

[[noreturn]] void refuse(const BenchUnlearn& o, const std::string& what) {
  fail(ExitCode::verification, "bench unlearn {} {}: {}", o.model, o.gate.row->name, what);
}

bool is_opt(const unlearn::GateRow& gate) {
  return std::string_view(gate.name) == "opt" || std::string_view(gate.name) == "focus-opt";
}

// OPT's condition over the elements from `begin` on of `order` (method: kernels/gates.h).
bool feasible(const std::vector<double>& u, const std::vector<double>& c, double beta,
              std::span<const size_t> order) {
  double uu = 0, cc = 0, uc = 0;
  for (size_t i : order) uu += u[i] * u[i], cc += c[i] * c[i], uc += u[i] * c[i];
  return std::min((1 - beta) * uu + beta * uc, beta * cc + (1 - beta) * uc) >=
         -1e-12 * (uu + cc);  // rounding of sums
}

// w and phi of one tensor as the update left them.
void check_opt(const BenchUnlearn& o, const UpdateProblem& p, const Range& range) {
  const auto part = [&](const Tensor& t) { return t.slice(range.offset, {range.size}).to({}); };
  const Tensor weights = part(p.update.weights()), forget = part(p.gradients.g_f),
               retain = part(p.gradients.g_r),
               focus = o.gate.row->uses.phi ? part(p.update.phi()) : Tensor();
  const float *w = weights.data(), *g_f = forget.data(), *g_r = retain.data(),
              *phi = focus ? focus.data() : nullptr;
  const auto n = static_cast<size_t>(range.size);
  std::vector<double> u(n), c(n);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < n; ++i) {
    const double f = phi == nullptr ? 1 : double{phi[i]};
    u[i] = f * double{g_f[i]}, c[i] = f * double{g_r[i]};
  }
  std::ranges::stable_sort(order, {}, [&](size_t i) { return u[i] * c[i]; });
  size_t dropped = 0;
  while (dropped < n && w[order[dropped]] == 0) ++dropped;
  for (size_t k = dropped; k < n; ++k)
    if (w[order[k]] != (phi == nullptr ? 1.0f : phi[order[k]]))
      refuse(o, fmt::format("{}: w of element {} is {}, which is neither dropped nor phi",
                            range.name, order[k], w[order[k]]));
  if (!feasible(u, c, p.config.beta, std::span(order).subspan(dropped)))
    refuse(o, fmt::format("{}: not feasible after {} of {} were dropped", range.name, dropped, n));
  if (range.size > kExhaustive) return;
  for (size_t k = 0; k < dropped; ++k)
    if (feasible(u, c, p.config.beta, std::span(order).subspan(k)))
      refuse(o, fmt::format("{}: {} of {} were dropped, {} would do", range.name, dropped, n, k));
}

// One parameter in double from the formulas (kernels/grad_alignment_math.h).
struct Reference {
  double value, v_f = 0, v_r = 0, m = 0, s = 0;

  static double phi(double z_f, double z_r) {
    return 0.5 + 0.5 * std::erf(z_f / std::sqrt(2.0)) * std::erf(z_r / std::sqrt(2.0));
  }
  // The share of the gradient that the optimizer sees; negative where rounding decides.
  double weight(const unlearn::GateSpec& gate, double g_f, double g_r, int step) {
    const ElementGate element = gate.row->element;
    if (element == ElementGate::none) return 1;
    if (element == ElementGate::conjunction) return g_f * g_r < 0 ? 0 : 1;
    v_f = step == 0 ? 0.1 * g_f * g_f : 0.9 * g_f * g_f + 0.1 * v_f;
    v_r = step == 0 ? 0.1 * g_r * g_r : 0.9 * g_r * g_r + 0.1 * v_r;
    const double p = phi(g_f / std::sqrt(v_f + 1e-8), g_r / std::sqrt(v_r + 1e-8));
    if (element == ElementGate::focus) return p;
    return std::abs(p - gate.value) < 1e-6 ? -1 : p >= gate.value ? 1 : 0;
  }
  void adam(double d, double lr, int step) {
    m = 0.9 * m + 0.1 * d, s = 0.999 * s + 0.001 * d * d;
    value -= lr * (m / (1 - std::pow(0.9, step + 1))) /
             (std::sqrt(s / (1 - std::pow(0.999, step + 1))) + 1e-8);
  }
};

void check_values(const BenchUnlearn& o, UpdateProblem& p) {
  const unlearn::GateRow& gate = *o.gate.row;
  const bool given = gate.scope != unlearn::Scope::element;
  const Tensor forget = p.gradients.g_f.to({}), retain = p.gradients.g_r.to({}),
               before = p.model.params.values().to({});
  const float *g_f = forget.data(), *g_r = retain.data(), *value = before.data();
  std::vector<int64_t> at;
  std::vector<Reference> reference;
  for (const Range& range : p.model.params.parameters())
    for (int64_t i = range.offset; i < range.offset + range.size; i += kStride)
      at.push_back(i), reference.push_back({.value = double{value[i]}});
  for (int step = 0; step < kSteps; ++step) {
    p.step();
    const Tensor weights = given ? p.update.weights().to({}) : Tensor();
    for (size_t k = 0; k < at.size(); ++k) {
      const double f = double{g_f[at[k]]}, r = double{g_r[at[k]]};
      const double w =
          given ? double{weights.data()[at[k]]} : reference[k].weight(o.gate, f, r, step);
      if (w < 0) reference[k].value = std::nan("");
      reference[k].adam(w * (p.config.beta * r + (1 - p.config.beta) * f), double{p.scalars.lr},
                        step);
    }
    if (is_opt(gate))
      for (const Range& range : p.model.params.parameters()) check_opt(o, p, range);
  }
  const Tensor after = p.model.params.values().to({});
  value = after.data();
  for (size_t k = 0; k < at.size(); ++k)  // 1e-6: a hundredth of a step of size lr = 1e-4
    if (std::abs(double{value[at[k]]} - reference[k].value) > 1e-6)
      refuse(o, fmt::format("element {} became {}, expected {}", at[k], value[at[k]],
                            reference[k].value));
}

// The bits of the parameters after kSteps steps on one thread and the slowest path; on a GPU, once
// more.
void check_bits(const BenchUnlearn& o, const Tensor& values) {
  const kernels::Isa isa = kernels::isa();
  const int threads = thread_count();
  kernels::set_isa(kernels::Isa::baseline);
  set_thread_count(1);
  UpdateProblem again(o);
  for (int step = 0; step < kSteps; ++step) again.step();
  kernels::set_isa(isa);
  set_thread_count(threads);
  const Tensor a = values.to({}), b = again.model.params.values().to({});
  if (std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * sizeof(float)) == 0) return;
  if (compute_stream().device == Device::cuda)
    refuse(o, "two runs on the GPU differ in their bits");
  refuse(o, fmt::format("{} with {} threads and baseline with one differ in their bits",
                        kernels::isa_name(), threads));
}

}  // namespace

void check_update(const BenchUnlearn& o) {
  const ElementGate gate = o.gate.row->element;
  const bool plain = gate == ElementGate::none || gate == ElementGate::conjunction ||
                     o.gate.row->scope != unlearn::Scope::element;
  const bool paper = gate == ElementGate::prob || gate == ElementGate::focus;
  UpdateProblem problem(o);
  if (plain || (paper && o.estimator.kind == kernels::Estimator::paper))
    check_values(o, problem);
  else
    for (int step = 0; step < kSteps; ++step) problem.step();
  check_bits(o, problem.model.params.values());
}

}  // namespace expunge::tools
