#pragma once

#include <optional>
#include <string>

#include "tools/shadow_plan.h"

namespace expunge::tools {

// eval --attacks ulira: makes the shadows, and says what they tell, as text and as a member of the
// JSON object, ",\"ulira\":{...}". Nothing where a signal came.
struct UliraAnswer {
  std::string text, json;
};
std::optional<UliraAnswer> ulira_answer(const ShadowPlan& plan, const Experiment& experiment,
                                        const Settings& eval);

}  // namespace expunge::tools
