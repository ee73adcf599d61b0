#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/experiment.h"

namespace expunge::tools {

// A run that was trained without what another run forgot: what that one is measured against.
struct Reference {
  std::filesystem::path folder;
  RunStatus status;
  nn::Model model;
};

// The last weights of each run. One with other data, split, network or forgotten samples than
// `experiment`: ExitCode::input says in what it differs.
std::vector<Reference> load_references(const std::vector<std::string>& folders,
                                       const Settings& settings, const Experiment& experiment);

}  // namespace expunge::tools
