#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/grad_alignment.h"

// Steps of grad_alignment on gradients of all kinds, and what becomes of a parameter in double,
// from the definitions: for the CPU and for CUDA.
namespace expunge::test::alignment {

using Floats = std::vector<float>;
using Steps = std::vector<std::span<const float>>;  // the gradients of all steps so far
inline constexpr int64_t kN = 4097;
inline constexpr int kSteps = 7;

struct Case {
  kernels::Estimator estimator = kernels::Estimator::paper;
  kernels::ElementGate gate = kernels::ElementGate::none;
  kernels::GateOn gate_on = kernels::GateOn::gradient;
  bool adam = true, student = false;
};
std::vector<Case> all_cases();  // of the estimators that keep statistics

// Of objective 1 or 2 in step t, (kN): some are 0, some tiny, some agree.
const Floats& gradient(int objective, int t);
const Floats& start_values();  // (kN)

// Of parameter 0, wherever the memory is.
struct Pointers {
  const float *g_f, *g_r;
  float *value, *first, *second;
  std::array<float*, 6> state;
};
// Step t of the parameters from i on.
kernels::GradAlignment step_at(const Case& c, int t, int64_t i, const Pointers& p);

// Parameter i after kSteps steps; NaN where rounding may decide a weight either way.
double reference_value(const Case& c, size_t i);
double student_cdf(double nu, double z);

}  // namespace expunge::test::alignment
