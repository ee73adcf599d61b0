#pragma once

#include <filesystem>

#include "eval/compare.h"
#include "tools/experiment.h"
#include "tools/held_out.h"

namespace expunge::tools {

// --attacks and --modified-entropy. auto: all attacks where samples were forgotten.
eval::ScoreConfig score_config(const Settings& settings, const Experiment& experiment);
bool any_attack(const eval::ScoreConfig& config);

// The network's outputs on every part of the experiment; stops early where a signal came.
eval::Parts outputs_of(const Experiment& experiment, const nn::Model& model);
eval::Outputs outputs_of(const Experiment& experiment, const nn::Model& model,
                         const std::vector<int32_t>& positions, int64_t batch_size = kPlainBatch);

// Everything about a run's network on the experiment's samples. Scores come from the run's folder
// where they are still right, and are kept there. Stops early where a signal came.
eval::Measured measure(const Experiment& experiment, const nn::Model& model,
                       const std::filesystem::path& run, const std::filesystem::path& weights,
                       const eval::ScoreConfig& config);
// The same of outputs that are there already.
eval::Scores measure(const Experiment& experiment, const eval::Parts& parts,
                     const std::filesystem::path& run, const std::filesystem::path& weights,
                     const eval::ScoreConfig& config);

}  // namespace expunge::tools
