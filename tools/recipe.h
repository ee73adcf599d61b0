#pragma once

#include <span>

namespace expunge::tools {

// An experiment that checks itself: its settings and the bands of its results, from
// recipes/<name>.toml, which is built into the program. Keys are the options of the verb.
struct ShippedRecipe {
  const char *name, *toml;
};
std::span<const ShippedRecipe> shipped_recipes();

}  // namespace expunge::tools
