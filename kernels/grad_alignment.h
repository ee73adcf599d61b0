#pragma once

#include <cstdint>

#include "core/device.h"
#include "kernels/grad_alignment_math.h"
#include "kernels/optim_step.h"
#include "kernels/student.h"

// The fused step of unlearning over a run of n parameters: gradient statistics, focus vector, gate
// and optimizer in one pass (formulas: grad_alignment_math.h). Nothing but the flat buffers named
// here is read or written, and a parameter's result depends on its own entries alone, so runs may
// be done in any order, whole or in parts, with the same bits.
namespace expunge::kernels {

enum class Estimator : unsigned char { paper, welford, ema, moments };
inline constexpr int kEstimatorBuffers = 3;  // flat buffers an objective's statistics need at most

// One objective's statistics: what this step does to them, the same for every parameter.
struct StatisticsRule {
  Estimator estimator = Estimator::paper;
  math::PaperRule paper{};
  math::EmaRule ema{};
  math::WelfordRule welford{};
  math::MomentsRule moments{};
  // Degrees of freedom of Student's distribution; 0: normal.
  float degrees = 0;
};

// (n) each. paper: s0 = V. ema: s0 = m, s1 = v. welford: s0 = m, s1 = M2, s2 = z. moments, which
// the step only reads: s0 = SE^2, s1 = m (null: the gradient itself).
struct StatisticsState {
  float *s0 = nullptr, *s1 = nullptr, *s2 = nullptr;
};

inline constexpr int kStepPasses = 3;  // of a step of unlearning, at most
// Their losses, and whether gradients overflowed (loss_scale.h).
inline constexpr int kStepLosses = kStepPasses + 1;

enum class ElementGate : unsigned char { none, conjunction, prob, focus, bernoulli, given };

struct ElementGateRule {
  ElementGate gate = ElementGate::none;
  float q = 0.3f;     // prob
  uint64_t seed = 0;  // bernoulli: draws are keyed by (seed, step, element)
  int64_t step = 0;
  int64_t element = 0;  // logical index of the run's first parameter among all, padding not counted
};

enum class GateOn : unsigned char {
  gradient,  // the optimizer sees w d, as in the paper: momentum still moves parameters with w = 0
  update,    // it sees d, and its step is multiplied by w
};

struct UpdateRule {
  OptimRule optim;
  GateOn gate_on = GateOn::gradient;
};

// What changes from step to step, for kernels that read it where they work: then the host need not
// know how many steps came before (nn/versions.h).
struct AlignmentRules {
  StatisticsRule rule_f, rule_r;
  StudentTables tables;  // of their degrees of freedom
  int64_t gate_step = 0;
  OptimRule optim;
};

struct GradAlignment {
  const float *g_f, *g_r;  // (n)
  float beta;              // d = beta g_r + (1 - beta) g_f
  StatisticsRule rule_f, rule_r;
  StatisticsState state_f, state_r;
  ElementGateRule gate;
  const float* weight = nullptr;  // (n) w of ElementGate::given
  UpdateRule update;
  float *value, *first, *second;  // (n) parameters and the optimizer's state; sgd has first only
  // (kStepLosses) where the stream works, or null: where one is not finite nothing changes.
  const float* losses = nullptr;
  // On a GPU, where it works: in place of the rules above, which then say no more than what kinds
  // of estimators, gate and optimizer these are. Or null.
  const AlignmentRules* there = nullptr;
};

// The same for the run's parameters from `i` on.
GradAlignment from(const GradAlignment& a, int64_t i);

// Statistics, phi, gate, update. A gate that does not need phi leaves the statistics alone.
void grad_alignment(Stream stream, int64_t n, const GradAlignment& a);

// Statistics and phi (n) only, for gates that look at a whole tensor or model.
void focus_vector(Stream stream, int64_t n, const GradAlignment& a, float* phi);

// The same on a GPU (grad_alignment.cu), all pointers to its memory.
namespace cuda {
void grad_alignment(Stream stream, int64_t n, const GradAlignment& a);
void focus_vector(Stream stream, int64_t n, const GradAlignment& a, float* phi);
}  // namespace cuda

// G(z) - 1/2 of Student's distribution (degrees > 0) or the normal one (0), n values.
void half_cdf(float degrees, int64_t n, const float* z, float* half);

}  // namespace expunge::kernels
