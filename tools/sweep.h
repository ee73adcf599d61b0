#pragma once

#include "core/check.h"
#include "tools/options.h"
#include "tools/recipe.h"
#include "tools/sweep_recipe.h"
#include "tools/sweep_rows.h"

namespace expunge::tools {

// Makes all runs of a recipe that are not there yet, and prints what they say. Interrupted by a
// signal: 128 + signal, and the same call goes on.
ExitCode sweep(SweepRecipe recipe, const Settings& settings, std::vector<SweepRow>* rows = nullptr);

// The same, then the recipe's [[expect]]; one that is broken: ExitCode::verification.
struct RecipeText;
ExitCode check_sweep(const RecipeText& text, const Settings& settings);

// The file or shipped recipe of this name. None: ExitCode::usage names the nearest one.
struct RecipeText {
  std::string name, file, toml;
};
RecipeText recipe_text(const std::string& name);

}  // namespace expunge::tools
