#pragma once

#include <memory>
#include <vector>

#include "tools/experiment.h"
#include "unlearn/one_shot.h"

namespace expunge::tools {

// Options that mean nothing to a method that changes the weights once. Fills in what they are
// there; one that was given otherwise: ExitCode::usage.
void resolve_one_shot(Settings& settings, const unlearn::Method& method);

// Everything such a method goes over, and its step.
struct OneShotParts {
  std::vector<std::unique_ptr<BatchSource>> sources;
  std::unique_ptr<BatchSource> source;  // one after the other
  std::unique_ptr<unlearn::OneShot> step;
};
OneShotParts one_shot_parts(const Settings& settings, Experiment& experiment,
                            const unlearn::Method& method);

}  // namespace expunge::tools
