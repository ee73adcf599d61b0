#include "kernels/each.cuh"
#include "kernels/grad_alignment.h"
#include "kernels/student.h"

namespace expunge::kernels::cuda {
namespace {

// z of parameter i; its statistics take g in.
__device__ float signal(const StatisticsRule& rule, float g, const StatisticsState& s, int64_t i) {
  switch (rule.estimator) {
    case Estimator::paper:
      return math::paper_signal(rule.paper, g, s.s0[i]);
    case Estimator::ema:
      return math::ema_signal(rule.ema, g, s.s0[i], s.s1[i]);
    case Estimator::welford:
      return math::welford_signal(rule.welford, g, s.s0[i], s.s1[i], s.s2[i]);
    case Estimator::moments:
      return math::moments_signal(rule.moments, s.s1 == nullptr ? g : s.s1[i], s.s0[i]);
  }
  return 0;
}

// G(z) - 1/2
__device__ float half(const StatisticsRule& rule, const float* table, float g,
                      const StatisticsState& s, int64_t i) {
  if (rule.estimator == Estimator::paper && table == nullptr)
    return math::paper_half(rule.paper, g, s.s0[i]);
  const float z = signal(rule, g, s, i);
  return table == nullptr ? math::normal_half(z) : math::student_half(table, z);
}

__device__ float focus(const GradAlignment& a, const StudentTables& tables, int64_t i) {
  return math::focus(half(a.rule_f, tables.f, a.g_f[i], a.state_f, i),
                     half(a.rule_r, tables.r, a.g_r[i], a.state_r, i));
}

__device__ float weight(const GradAlignment& a, const StudentTables& tables, int64_t i) {
  switch (a.gate.gate) {
    case ElementGate::none:
      return 1;
    case ElementGate::given:
      return a.weight[i];
    case ElementGate::conjunction:
      return math::gate_and(a.g_f[i], a.g_r[i]);
    case ElementGate::focus:
      return focus(a, tables, i);
    case ElementGate::prob:
      return math::gate_prob(focus(a, tables, i), a.gate.q);
    case ElementGate::bernoulli:
      return math::gate_bernoulli(a.gate.seed, a.gate.step, a.gate.element + i,
                                  focus(a, tables, i));
  }
  return 1;
}

// Everything that happens to parameter i.
struct Step {
  GradAlignment a;
  StudentTables tables;
  __device__ void operator()(int64_t i) const {
    if (!math::takes_step(a.losses, kStepLosses)) return;
    const float w = weight(a, tables, i), before = a.value[i];
    const bool on_gradient = a.update.gate_on == GateOn::gradient;
    const float d = math::direction(a.beta, a.g_f[i], a.g_r[i]), g = on_gradient ? w * d : d;
    float after = before;
    if (a.update.optim.is_adam)
      math::adam(a.update.optim.adam, g, after, a.first[i], a.second[i]);
    else
      math::sgd(a.update.optim.sgd, g, after, a.first[i]);
    a.value[i] = on_gradient ? after : math::gated(w, before, after);
  }
};

struct Focus {
  GradAlignment a;
  StudentTables tables;
  float* phi;
  __device__ void operator()(int64_t i) const {
    if (math::takes_step(a.losses, kStepLosses)) phi[i] = focus(a, tables, i);
  }
};

StudentTables tables_of(Stream stream, const GradAlignment& a) {
  return {student_table(stream, a.rule_f.degrees), student_table(stream, a.rule_r.degrees)};
}

}  // namespace

void grad_alignment(Stream stream, int64_t n, const GradAlignment& a) {
  each(stream, n, Step{a, tables_of(stream, a)});
}

void focus_vector(Stream stream, int64_t n, const GradAlignment& a, float* phi) {
  each(stream, n, Focus{a, tables_of(stream, a), phi});
}

}  // namespace expunge::kernels::cuda
