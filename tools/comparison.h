#pragma once

#include <string>
#include <vector>

#include "tools/contrasts.h"
#include "tools/run_numbers.h"

namespace expunge::tools {

// Runs that differ in their seeds only, in the order of their first runs.
struct RunGroup {
  std::string name;  // the label, and what tells it from groups with the same label
  std::vector<const ComparedRun*> runs;
};
std::vector<RunGroup> group_by_recipe(const std::vector<ComparedRun>& runs);

// Mean and standard deviation of the groups: the main numbers, as a table to read; then gaps to the
// retrained runs in units of their standard deviation.
std::string comparison_table(const std::vector<RunGroup>& groups);
// Every number, a row a run.
std::string comparison_csv(const std::vector<ComparedRun>& runs);
std::string comparison_json(const std::vector<ComparedRun>& runs,
                            const std::vector<RunGroup>& groups,
                            const std::vector<Contrast>& contrasts);

// Every unlearned group against the one named `baseline`, paired by seed. No such group:
// ExitCode::usage names those there are.
std::vector<Contrast> group_contrasts(const std::vector<RunGroup>& groups,
                                      const std::string& baseline);

}  // namespace expunge::tools
