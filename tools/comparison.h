#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/compare.h"
#include "tools/run_folder.h"

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
  std::optional<eval::Comparison> comparison;  // against the retrained runs, itself left out
};

// Runs that differ in their seeds only, in the order of their first runs.
struct RunGroup {
  std::string name;  // the label, and what tells it from groups with the same label
  std::vector<const ComparedRun*> runs;
};
std::vector<RunGroup> group_by_recipe(const std::vector<ComparedRun>& runs);

// A number of a run: everything in eval::metrics(), the distances to the retrained runs, the cost.
// NaN where it was not measured.
struct RunNumber {
  std::string name, words;
  double (*shown)(double);  // to the unit of the tables
  int digits;
  std::function<double(const ComparedRun&)> get;
};
const std::vector<RunNumber>& run_numbers();

// Mean and standard deviation of the groups: the main numbers, as a table to read; then gaps to the
// retrained runs in units of their standard deviation.
std::string comparison_table(const std::vector<RunGroup>& groups);
// Every number, a row a run.
std::string comparison_csv(const std::vector<ComparedRun>& runs);
std::string comparison_json(const std::vector<ComparedRun>& runs,
                            const std::vector<RunGroup>& groups);

}  // namespace expunge::tools
