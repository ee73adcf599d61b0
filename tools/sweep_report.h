#pragma once

#include <string>
#include <vector>

#include "tools/contrasts.h"
#include "tools/sweep_plan.h"
#include "tools/text_table.h"

// What the rows of a sweep say, for people and for programs.
namespace expunge::tools {

// Runs that differ in their seeds only; `name` as in SweepRow::group.
struct RowGroup {
  std::string name;
  std::vector<const SweepRow*> rows;
};
// In the order of the plan, those that have rows.
std::vector<RowGroup> row_groups(const SweepPlan& plan, const std::vector<SweepRow>& rows);

// Contrasts whose p are adjusted together: the primary ones, if the recipe fixes some, then each
// grid's. Along an axis (ContrastPlan::along) one for each level, with what the runs have there; of
// a [tune] that alone.
struct ContrastFamily {
  std::string title;
  TextRows means;
  std::vector<Contrast> contrasts;
};
std::vector<ContrastFamily> contrast_families(const SweepRecipe& recipe,
                                              const std::vector<SweepRow>& rows);

// A table a grid (mean ± sd over seeds, beside the originals and retrained networks), what each
// [tune] chose, then the contrasts. `table`: aligned or markdown.
std::string sweep_report(const SweepRecipe& recipe, const SweepPlan& plan,
                         const std::vector<SweepRow>& rows, std::string (*table)(const TextRows&));
std::string sweep_csv(const std::vector<SweepRow>& rows);  // every number, a row a run
std::string sweep_json(const SweepRecipe& recipe, const std::vector<SweepRow>& rows);

// Of a grid, on the way: forget accuracy against test accuracy, and against the attack's AUC; lines
// are means over seeds, one pair of plots a method. "" where the grid has no rows.
std::string trajectory_svg(const SweepRecipe& recipe, const Grid& grid,
                           const std::vector<SweepRow>& rows);

// [[expect]]: what does not hold, a sentence each.
std::vector<std::string> broken_expectations(const SweepRecipe& recipe,
                                             const std::vector<SweepRow>& rows);

}  // namespace expunge::tools
