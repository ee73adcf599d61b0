#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/compare.h"
#include "tools/run_folder.h"
#include "tools/trajectory.h"

namespace expunge::tools {

// A run in a comparison.
struct ComparedRun {
  std::string folder;
  RunStatus status;
  std::string label;  // "srl focus", "retrained", "original"
  std::string
      variant;  // what else tells its recipe from others with the same label: "lr=0.002 beta=0.95"
  std::string seed;
  eval::Measured measured;
  double attack_success = eval::kNotMeasured;  // where the set has poisoned samples
  std::vector<Waypoint> trajectory{};
  std::optional<eval::Comparison> comparison{};  // against the retrained runs, itself left out
  // where the trajectory first comes down to their mean forget accuracy
  std::optional<Waypoint> at_target{};
};

// A number of a run: everything in eval::metrics(), the distances to the retrained runs, what the
// run was like at their forget accuracy, the cost.
// NaN where it was not measured.
struct RunNumber {
  std::string name, words;
  double (*shown)(double);  // to the unit of the tables
  int digits;
  std::function<double(const ComparedRun&)> get;
  std::string distance_of{};  // |that number - the retrained models'|
};
const std::vector<RunNumber>& run_numbers();
const RunNumber& run_number(const std::string& name);  // one that is in the table

}  // namespace expunge::tools
