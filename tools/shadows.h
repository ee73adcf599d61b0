#pragma once

#include <vector>

#include "tools/shadow_plan.h"

namespace expunge::tools {

struct ShadowConfig {
  int64_t jobs = 1;  // side by side; they share the threads
  bool silent = false;
};

// Makes the runs of the plan that are not there yet. False where a signal came: they are saved.
bool make_shadows(const ShadowPlan& plan, const Experiment& experiment, const ShadowConfig& config);

// (N, S) Outputs::margins of F by every shadow, before and after unlearning; kept in the shadow's
// folder. Stops early where a signal came.
struct MarginsOfShadows {
  std::vector<double> original, unlearned;
};
MarginsOfShadows margins_of_shadows(const ShadowPlan& plan, const Experiment& experiment);

}  // namespace expunge::tools
