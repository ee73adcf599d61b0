#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "eval/scores.h"
#include "tools/experiment.h"

// What was measured of a run stays in its folder, as scores.json, because attacks take longer than
// everything around them.
namespace expunge::tools {

// A hash of what scores depend on: weights, samples of each part, attacks, precision, version of
// the program.
std::string score_key(const Experiment& experiment, const std::filesystem::path& weights,
                      const eval::ScoreConfig& config);

// Nothing where there is no file, another key in it, or anything wrong with it.
std::optional<eval::Scores> read_scores(const std::filesystem::path& run, const std::string& key);
// A folder that cannot be written to is left as it is.
void write_scores(const std::filesystem::path& run, const std::string& key,
                  const eval::Scores& scores);

}  // namespace expunge::tools
