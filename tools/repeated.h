#pragma once

#include <string>
#include <vector>

#include "tools/options.h"

// A run's configuration once more, with other samples or another seed.
namespace expunge::tools {

// Flags of train that lead to these settings, whatever the environment says; without --forget.
std::vector<std::string> training_flags(const Settings& settings);

// Flags of unlearn that lead to them from a run with the same data, split and network; without
// --from, --forget and --reference. Settings that no flags lead to: ExitCode::input, `run` is whose
// they are.
std::vector<std::string> unlearning_flags(const Settings& settings, const std::string& run);

// The first option in which two runs of one verb differ, other than where data, forget set,
// original and references are to be found; nullptr where there is none.
const char* difference(const Settings& a, const Settings& b);

}  // namespace expunge::tools
