#include "tools/sweep_recipe.h"

#include <algorithm>
#include <charconv>

namespace expunge::tools {

bool GridAxis::is_numbers() const {
  return std::ranges::all_of(values, [](const Value& value) {
    const char *begin = value.label.data(), *end = begin + value.label.size();
    double number = 0;
    return std::from_chars(begin, end, number).ptr == end && begin != end;
  });
}

void SweepRecipe::set_data(const std::string& file) {
  std::erase_if(original, [](const auto& option) { return option.first == "data"; });
  original.emplace_back("data", file);
}

std::string SweepRecipe::data() const {
  const auto it = std::ranges::find_if(original, [](const auto& o) { return o.first == "data"; });
  return it == original.end() ? "builtin" : it->second;
}

void SweepRecipe::one_run_a_cell() {
  for (Grid& grid : grids) grid.seeds.resize(1);
  for (ForgetSet& set : forget_sets) set.references = 1;
  shadows = 0;
}

const ForgetSet& SweepRecipe::forget_set(const std::string& of) const {
  return *std::ranges::find(forget_sets, of, &ForgetSet::name);
}

const Grid* SweepRecipe::tune(const std::string& of) const {
  const auto it =
      std::ranges::find_if(grids, [&](const Grid& g) { return g.tunes() && g.name == of; });
  return it == grids.end() ? nullptr : &*it;
}

}  // namespace expunge::tools
