#pragma once

#include <string>
#include <vector>

#include "tools/sweep_recipe.h"
#include "tools/sweep_rows.h"

namespace expunge::tools {

// One row to come.
struct PlannedRun {
  SweepRow row;            // run, group, arguments, labels, seed
  std::string verb;        // train | unlearn | "": a run that is there, measured once more
  std::string folder;      // below the sweep's
  OptionValues options{};  // of the verb, without folders
  std::string from{};      // of unlearn: the original's folder
  std::vector<std::string> needs{};    // rows that come first
  std::vector<std::string> against{};  // retrained runs' folders; empty: not compared with any
  int64_t shadows = 0;                 // of U-LiRA after that; 0: without it
};

struct SweepPlan {
  std::vector<PlannedRun> runs;  // in the order to make them in
  int64_t waiting = 0;           // how many come once a [tune] is complete
};

// Every run of the recipe: originals and retrained networks, tunes, then grids. Which settings a
// tuned grid has depends on the rows. `everywhere`: options of every train and unlearn, in place
// of the recipe's (--smoke).
// A row that was made with other arguments than the recipe has now: ExitCode::input. A combination
// whose tuning failed for every value: ExitCode::numerical.
SweepPlan plan_sweep(const SweepRecipe& recipe, const OptionValues& everywhere,
                     const std::vector<SweepRow>& rows);

// What a [tune] chose for a combination: the lowest score, the first among equals.
struct Choice {
  std::string group;     // "random/srl focus", as of the tuned grid `grid`
  OptionValues options;  // the chosen values
  double score = 0;
};
std::vector<Choice> choices(const Grid& tune, const std::vector<SweepRow>& rows);

// How far a pilot is from its retrained network, in percent, never looking at test samples: mean of
// the absolute differences of accuracy on F, R and the validation part. NaN for a run that failed.
double tuning_score(const SweepRow& row, const SweepRow& retrained);

}  // namespace expunge::tools
