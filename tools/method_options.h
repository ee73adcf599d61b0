#pragma once

#include "tools/experiment.h"
#include "unlearn/methods.h"

// Options of unlearn that only some methods and presets have.
namespace expunge::tools {

// Fills in those that were not given and checks the others: ExitCode::usage for one that the method
// has no use for. Goes before the general ones.
void resolve_method_options(Settings& settings, const unlearn::Method& method,
                            const unlearn::Preset& preset);

// Whether method, preset and gate go together: a gate that looks at two gradients has none where a
// step has one side, or both in one batch. ExitCode::usage where they do not.
void check_order(const Settings& settings, const unlearn::Method& method,
                 const unlearn::Preset& preset, const unlearn::GateSpec& gate);
// Estimators that look into a batch take one gradient of each parameter, image by image.
void check_estimator(const Settings& settings, const unlearn::Method& method,
                     const unlearn::GateSpec& gate, const unlearn::EstimatorSpec& estimator);

// What they say, for objectives and teachers.
unlearn::ObjectiveNumbers objective_numbers(const Settings& settings);
unlearn::TeacherConfig teacher_config(const Settings& settings, const Experiment& experiment);
bool has_compat(const Settings& settings, const char* name);

// Epochs whose steps go through F, where the sides take turns.
int forget_epochs(const Settings& settings);

}  // namespace expunge::tools
