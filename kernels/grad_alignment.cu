#include "kernels/each.cuh"
#include "kernels/grad_alignment.h"
#include "kernels/vector.cuh"

namespace expunge::kernels::cuda {
namespace {

// Where a step's phi comes from: it needs none; the paper's estimator and the normal distribution,
// in code of their own; or what the rules say.
enum class Phi { none, paper, any };

// An objective's statistics of V parameters.
template <int V>
struct States {
  Floats<V> s0{}, s1{}, s2{};
};

// The buffers that the estimator has; where moments have no mean it is the gradient.
template <Phi kPhi, int V>
__device__ States<V> load_states(const StatisticsRule& rule, const StatisticsState& s, int64_t i,
                                 const Floats<V>& g) {
  States<V> states;
  if constexpr (kPhi == Phi::none) return states;
  states.s0 = load<V>(s.s0 + i);
  if constexpr (kPhi == Phi::any) {
    if (rule.estimator == Estimator::moments && s.s1 == nullptr)
      states.s1 = g;
    else if (rule.estimator != Estimator::paper)
      states.s1 = load<V>(s.s1 + i);
    if (rule.estimator == Estimator::welford) states.s2 = load<V>(s.s2 + i);
  }
  return states;
}
template <Phi kPhi, int V>
__device__ void store_states(const StatisticsRule& rule, const StatisticsState& s, int64_t i,
                             const States<V>& states) {
  if constexpr (kPhi == Phi::none) return;
  if (kPhi == Phi::any && rule.estimator == Estimator::moments) return;
  store(s.s0 + i, states.s0);
  if constexpr (kPhi == Phi::any) {
    if (rule.estimator != Estimator::paper) store(s.s1 + i, states.s1);
    if (rule.estimator == Estimator::welford) store(s.s2 + i, states.s2);
  }
}

// z of parameter v of these; its statistics take g in.
template <int V>
__device__ float signal(const StatisticsRule& rule, float g, States<V>& s, int v) {
  switch (rule.estimator) {
    case Estimator::paper:
      return math::paper_signal(rule.paper, g, s.s0.v[v]);
    case Estimator::ema:
      return math::ema_signal(rule.ema, g, s.s0.v[v], s.s1.v[v]);
    case Estimator::welford:
      return math::welford_signal(rule.welford, g, s.s0.v[v], s.s1.v[v], s.s2.v[v]);
    case Estimator::moments:
      return math::moments_signal(math::prior_of(rule.moments), s.s1.v[v], s.s0.v[v]);
  }
  return 0;
}

// G(z) - 1/2
template <Phi kPhi, int V>
__device__ float half(const StatisticsRule& rule, const math::StudentCubic* table, float g,
                      States<V>& s, int v) {
  if (kPhi == Phi::paper || (rule.estimator == Estimator::paper && table == nullptr))
    return math::paper_half(rule.paper, g, s.s0.v[v]);
  const float z = signal(rule, g, s, v);
  return table == nullptr ? math::normal_half(z) : math::student_half(table, z);
}

// Gradients and statistics of V parameters from i on: all that phi is made of.
template <Phi kPhi, int V>
struct Gradients {
  Floats<V> g_f, g_r;
  States<V> f, r;

  __device__ Gradients(const GradAlignment& a, int64_t i)
      : g_f(load<V>(a.g_f + i)),
        g_r(load<V>(a.g_r + i)),
        f(load_states<kPhi>(a.rule_f, a.state_f, i, g_f)),
        r(load_states<kPhi>(a.rule_r, a.state_r, i, g_r)) {}
  __device__ float focus(const GradAlignment& a, const StudentTables& tables, int v) {
    return math::focus(half<kPhi>(a.rule_f, tables.f, g_f.v[v], f, v),
                       half<kPhi>(a.rule_r, tables.r, g_r.v[v], r, v));
  }
  __device__ void store_statistics(const GradAlignment& a, int64_t i) const {
    store_states<kPhi>(a.rule_f, a.state_f, i, f);
    store_states<kPhi>(a.rule_r, a.state_r, i, r);
  }
};

__device__ float weight(const ElementGateRule& gate, float phi, int64_t i) {
  if (gate.gate == ElementGate::focus) return phi;
  if (gate.gate == ElementGate::prob) return math::gate_prob(phi, gate.q);
  return math::gate_bernoulli(gate.seed, gate.step, gate.element + i, phi);
}

// Everything that happens to V parameters from i on. Whether the step is taken is asked when all is
// computed: asked before, it would hold up what is read, since compilers move loads behind a
// branch.
template <Phi kPhi, bool kAdam>
struct Step {
  GradAlignment a;
  StudentTables tables;

  template <int V>
  __device__ void at(int64_t i) const {
    const bool taken = math::takes_step(a.losses, kStepLosses);
    Gradients<kPhi, V> g(a, i);
    Floats<V> w{}, value = load<V>(a.value + i), first = load<V>(a.first + i), second{};
    if constexpr (kAdam) second = load<V>(a.second + i);
    const bool given = kPhi == Phi::none && a.gate.gate == ElementGate::given;
    if (given) w = load<V>(a.weight + i);
    const bool on_gradient = a.update.gate_on == GateOn::gradient;
    for (int v = 0; v < V; ++v) {
      if constexpr (kPhi != Phi::none)
        w.v[v] = weight(a.gate, g.focus(a, tables, v), i + v);
      else if (a.gate.gate == ElementGate::conjunction)
        w.v[v] = math::gate_and(g.g_f.v[v], g.g_r.v[v]);
      else if (!given)
        w.v[v] = 1;
      const float d = math::direction(a.beta, g.g_f.v[v], g.g_r.v[v]), before = value.v[v];
      const float gradient = on_gradient ? w.v[v] * d : d;
      if constexpr (kAdam)
        math::adam(a.update.optim.adam, gradient, value.v[v], first.v[v], second.v[v]);
      else
        math::sgd(a.update.optim.sgd, gradient, value.v[v], first.v[v]);
      if (!on_gradient) value.v[v] = math::gated(w.v[v], before, value.v[v]);
    }
    if (!taken) return;
    g.store_statistics(a, i);
    store(a.value + i, value), store(a.first + i, first);
    if constexpr (kAdam) store(a.second + i, second);
  }
};

template <Phi kPhi>
struct Focus {
  GradAlignment a;
  StudentTables tables;
  float* phi;

  template <int V>
  __device__ void at(int64_t i) const {
    const bool taken = math::takes_step(a.losses, kStepLosses);
    Gradients<kPhi, V> g(a, i);
    Floats<V> found;
    for (int v = 0; v < V; ++v) found.v[v] = g.focus(a, tables, v);
    if (!taken) return;
    g.store_statistics(a, i);
    store(phi + i, found);
  }
};

// The same with the rules that are read where the work is.
template <class Body>
struct There {
  Body body;

  template <int V>
  __device__ void at(int64_t i) const {
    const AlignmentRules& rules = *body.a.there;
    Body own = body;
    own.a.rule_f = rules.rule_f, own.a.rule_r = rules.rule_r;
    own.a.gate.step = rules.gate_step;
    own.a.update.optim = rules.optim;
    own.tables = rules.tables;
    own.template at<V>(i);
  }
};

Phi phi_of(const GradAlignment& a) {
  const auto papers = [](const StatisticsRule& rule) {
    return rule.estimator == Estimator::paper && rule.degrees == 0;
  };
  return papers(a.rule_f) && papers(a.rule_r) ? Phi::paper : Phi::any;
}

bool needs_phi(ElementGate gate) {
  return gate == ElementGate::prob || gate == ElementGate::focus || gate == ElementGate::bernoulli;
}

bool on_vectors(const GradAlignment& a, const float* phi = nullptr) {
  const StatisticsState &f = a.state_f, &r = a.state_r;
  return kernels::on_vectors({a.g_f, a.g_r, a.weight, a.value, a.first, a.second, phi, f.s0, f.s1,
                              f.s2, r.s0, r.s1, r.s2});
}

// As measured (docs/gpu/first-measurements.md): small blocks, a vector a thread, a thread for each.
// What follows rules goes one by one: by four it would be more than fits into registers.
template <Phi kPhi, class Body>
void each_parameter(const StreamAt& stream, int64_t n, bool by_vectors, const Body& body) {
  constexpr unsigned kThreads = 128;
  constexpr int V = kPhi == Phi::any ? 1 : kVector<float>;
  if (V > 1 && by_vectors)
    each_vector<V, kThreads>(stream, n, body);
  else
    each_vector<1, kThreads>(stream, n, body);
}

// `body` by its own rules, or by those there.
template <Phi kPhi, class Body>
void run(const StreamAt& stream, int64_t n, bool by_vectors, Body body) {
  if (body.a.there != nullptr)
    return each_parameter<kPhi>(stream, n, by_vectors, There<Body>{body});
  if (kPhi == Phi::any)
    body.tables = {student_table(stream.stream, body.a.rule_f.degrees),
                   student_table(stream.stream, body.a.rule_r.degrees)};
  each_parameter<kPhi>(stream, n, by_vectors, body);
}

template <Phi kPhi>
void step(const StreamAt& stream, int64_t n, const GradAlignment& a) {
  if (a.update.optim.is_adam)
    run<kPhi>(stream, n, on_vectors(a), Step<kPhi, true>{a, {}});
  else
    run<kPhi>(stream, n, on_vectors(a), Step<kPhi, false>{a, {}});
}

template <Phi kPhi>
void focus(const StreamAt& stream, int64_t n, const GradAlignment& a, float* phi) {
  run<kPhi>(stream, n, on_vectors(a, phi), Focus<kPhi>{a, {}, phi});
}

}  // namespace

void grad_alignment(Stream stream, int64_t n, const GradAlignment& a) {
  const StreamAt at = stream;
  if (!needs_phi(a.gate.gate)) return step<Phi::none>(at, n, a);
  phi_of(a) == Phi::paper ? step<Phi::paper>(at, n, a) : step<Phi::any>(at, n, a);
}

void focus_vector(Stream stream, int64_t n, const GradAlignment& a, float* phi) {
  const StreamAt at = stream;
  phi_of(a) == Phi::paper ? focus<Phi::paper>(at, n, a, phi) : focus<Phi::any>(at, n, a, phi);
}

}  // namespace expunge::kernels::cuda
