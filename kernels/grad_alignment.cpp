#include "kernels/grad_alignment.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/rng.h"
#include "kernels/grad_alignment_loops.h"
#include "kernels/isa.h"
#include "kernels/student.h"

namespace expunge::kernels {
namespace {

// A run short enough that what passes between the loops stays in the first-level cache.
constexpr int64_t kRun = 1024;

struct Scratch {
  alignas(64) float a[kRun], b[kRun], c[kRun];
};

StatisticsState at(const StatisticsState& s, int64_t i) {
  const auto move = [i](float* p) { return p == nullptr ? nullptr : p + i; };
  return {move(s.s0), move(s.s1), move(s.s2)};
}

bool needs_phi(ElementGate gate) {
  return gate == ElementGate::prob || gate == ElementGate::focus || gate == ElementGate::bernoulli;
}

void halves(const AlignLoops& loops, float degrees, int64_t n, const float* z, float* half) {
  if (degrees > 0)
    student_half(degrees, n, z, half);
  else
    loops.normal_halves(n, z, half);
}

// phi of parameters [i, i + n) into `phi`; the statistics take the step's gradients in.
void focus_run(const AlignLoops& loops, const GradAlignment& a, int64_t i, int64_t n, Scratch& s,
               float* phi) {
  loops.signals(a.rule_f, n, a.g_f + i, at(a.state_f, i), s.a);
  halves(loops, a.rule_f.degrees, n, s.a, s.b);
  loops.signals(a.rule_r, n, a.g_r + i, at(a.state_r, i), s.a);
  halves(loops, a.rule_r.degrees, n, s.a, s.c);
  loops.focus(n, s.b, s.c, phi);
}

// w ~ Bernoulli(phi): w = 1 where a uniform draw lies below phi.
void draw(const ElementGateRule& gate, int64_t i, int64_t n, const float* phi, float* w) {
  for (int64_t k = 0; k < n; ++k) {
    const auto element = static_cast<uint64_t>(gate.element + i + k);
    const rng::Draw d =
        rng::philox(gate.seed, rng::Purpose::mask,
                    {{static_cast<uint32_t>(gate.step), static_cast<uint32_t>(gate.step >> 32),
                      static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32)}});
    w[k] = rng::uniform(d.word[0]) < phi[k] ? 1.0f : 0.0f;
  }
}

// w of parameters [i, i + n), or null where all are 1.
const float* weigh(const AlignLoops& loops, const GradAlignment& a, int64_t i, int64_t n,
                   Scratch& s, float* w) {
  if (needs_phi(a.gate.gate)) focus_run(loops, a, i, n, s, w);
  switch (a.gate.gate) {
    case ElementGate::none:
      return nullptr;
    case ElementGate::conjunction:
      loops.conjunction(n, a.g_f + i, a.g_r + i, w);
      return w;
    case ElementGate::prob:
      loops.prob(n, a.gate.q, w, s.a);
      return s.a;
    case ElementGate::focus:
      return w;
    case ElementGate::bernoulli:
      draw(a.gate, i, n, w, s.a);
      return s.a;
    case ElementGate::given:
      return a.weight + i;
  }
  return nullptr;
}

}  // namespace

GradAlignment from(const GradAlignment& a, int64_t i) {
  const auto move = [i](auto* p) { return p == nullptr ? nullptr : p + i; };
  GradAlignment b = a;
  b.g_f += i, b.g_r += i;
  b.state_f = at(a.state_f, i), b.state_r = at(a.state_r, i);
  b.gate.element += i;
  b.weight = move(a.weight);
  b.value += i, b.first += i, b.second = move(a.second);
  return b;
}

void grad_alignment(Stream, int64_t n, const GradAlignment& a) {
  const AlignLoops& loops = align_loops();
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    Scratch s;
    alignas(64) float weights[kRun], d[kRun];
    for (int64_t i = begin; i < end; i += kRun) {
      const int64_t m = std::min(kRun, end - i);
      const float* w = weigh(loops, a, i, m, s, weights);
      const bool on_gradient = a.update.gate_on == GateOn::gradient;
      loops.direction(m, a.beta, a.g_f + i, a.g_r + i, on_gradient ? w : nullptr, d);
      loops.update(a.update, m, d, on_gradient ? nullptr : w, a.value + i, a.first + i,
                   a.second == nullptr ? nullptr : a.second + i);
    }
  });
}

void focus_vector(Stream, int64_t n, const GradAlignment& a, float* phi) {
  const AlignLoops& loops = align_loops();
  parallel_ranges(n, [&](int64_t begin, int64_t end) {
    Scratch s;
    for (int64_t i = begin; i < end; i += kRun)
      focus_run(loops, a, i, std::min(kRun, end - i), s, phi + i);
  });
}

void half_cdf(float degrees, int64_t n, const float* z, float* half) {
  halves(align_loops(), degrees, n, z, half);
}

const AlignLoops& align_loops() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::baseline:
      return kAlignLoopsBaseline;
    case Isa::avx2:
      return kAlignLoopsAvx2;
    case Isa::avx512:
      return kAlignLoopsAvx512;
  }
#endif
  return kAlignLoopsBaseline;
}

}  // namespace expunge::kernels
