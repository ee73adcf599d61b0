#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/experiment.h"

namespace expunge::tools {

// Another run's folder and its last weights.
struct Reference {
  std::filesystem::path folder;
  RunStatus status;
  nn::Model model;
};

// Whether a run's network never saw, or should no longer know, the same samples as the experiment's
// without F.
bool forgets_the_same(const std::filesystem::path& run, const Experiment& experiment);

// One with other data, split or network: ExitCode::input says in what it differs. `as`: what it was
// meant for, "be a reference".
void check_same_experiment(const std::filesystem::path& run, const RunStatus& status,
                           const Settings& settings, const Experiment& experiment, const char* as);

// Runs that were trained without what another run forgot: what that one is measured against. One
// that is not, or of another experiment: ExitCode::input.
std::vector<Reference> load_references(const std::vector<std::string>& folders,
                                       const Settings& settings, const Experiment& experiment);

}  // namespace expunge::tools
