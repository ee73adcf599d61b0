#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "tools/run_numbers.h"
#include "tools/run_path.h"
#include "tools/sweep_report.h"

namespace expunge::tools {
namespace {

// Labels of a row as a comparison sees them: of the contrast's axis, and of the others together.
Observation observation(const ContrastPlan& plan, const SweepRow& row, bool along) {
  Observation o{.block = "", .level = "", .seed = std::to_string(row.seed), .number = {}};
  for (const auto& [axis, label] : row.labels)
    if (axis == plan.axis)
      o.level = label;
    else if (!along || axis != plan.along)
      o.block += (o.block.empty() ? "" : " ") + label;
  return o;
}

std::vector<Observation> observations(const ContrastPlan& plan, const Grid& grid,
                                      const std::vector<SweepRow>& rows) {
  std::vector<Observation> all;
  for (const SweepRow& row : rows) {
    if (row.grid() != grid.title() || !row.labels.contains(plan.axis)) continue;
    all.push_back(observation(plan, row, false));
    all.back().number = [&row](const std::string& name) {
      return run_number(name).shown(row.number(name));
    };
  }
  std::ranges::stable_sort(all, {}, &Observation::block);
  return all;
}

// The same with the runs along an axis as one, where their forget accuracy is `forget_acc`.
std::vector<Observation> observations_at(const ContrastPlan& plan, const Grid& grid,
                                         const std::vector<SweepRow>& rows, double forget_acc) {
  std::vector<Observation> all;
  std::vector<std::shared_ptr<RunPath>> paths;  // of `all`
  for (const SweepRow& row : rows) {
    if (row.grid() != grid.title() || !row.labels.contains(plan.axis)) continue;
    Observation o = observation(plan, row, true);
    const auto same = std::ranges::find_if(all, [&](const Observation& other) {
      return other.block == o.block && other.level == o.level && other.seed == o.seed;
    });
    const auto at = static_cast<size_t>(same - all.begin());
    if (same == all.end()) {
      paths.push_back(std::make_shared<RunPath>());
      o.number = [path = paths.back(), forget_acc](const std::string& name) {
        return run_number(name).shown(path->at(forget_acc, name));
      };
      all.push_back(std::move(o));
    }
    const std::string& label = row.labels.at(plan.along);
    double option = 0;
    std::from_chars(label.data(), label.data() + label.size(), option);
    paths[at]->add(option, row);
  }
  std::ranges::stable_sort(all, {}, &Observation::block);
  return all;
}

bool has_axis(const SweepRecipe& recipe, const Grid& grid, const std::string& name) {
  const Grid& of = grid.tuned_by.empty() ? grid : *recipe.tune(grid.tuned_by);
  const bool chosen = !grid.tuned_by.empty() && std::ranges::count(of.chosen, name) > 0;
  return !chosen && std::ranges::find(of.axes, name, &GridAxis::name) != of.axes.end();
}

std::vector<double> measured(const std::vector<Observation>& of, const std::string& number) {
  std::vector<double> values;
  for (const Observation& o : of)
    if (const double value = o.number(number); !std::isnan(value)) values.push_back(value);
  return values;
}

// A line a level of each block: means and deviations over its seeds, of what was measured at all.
TextRows mean_rows(const std::vector<Observation>& all, const std::vector<std::string>& numbers) {
  std::vector<std::string> shown;
  for (const std::string& number : numbers)
    if (!measured(all, number).empty()) shown.push_back(number);
  TextRows rows = {{"run", "seeds"}};
  rows.front().insert(rows.front().end(), shown.begin(), shown.end());
  std::vector<std::pair<std::string, std::string>> seen;
  for (const Observation& o : all) {
    const std::pair key(o.block, o.level);
    if (std::ranges::find(seen, key) != seen.end()) continue;
    seen.push_back(key);
    std::vector<Observation> seeds;
    for (const Observation& other : all)
      if (other.block == o.block && other.level == o.level) seeds.push_back(other);
    rows.push_back({fmt::format("{}{}{}", o.block, o.block.empty() ? "" : " ", o.level), ""});
    size_t reached = 0;
    for (const std::string& number : shown) {
      const std::vector<double> values = measured(seeds, number);
      reached = std::max(reached, values.size());
      rows.back().push_back(mean_and_sd(eval::spread_of(values), run_number(number).digits));
    }
    rows.back()[1] = reached == seeds.size() ? std::to_string(reached)
                                             : fmt::format("{} of {}", reached, seeds.size());
  }
  return rows;
}

// Those that were asked for beforehand.
ContrastFamily primary_family(const ContrastPlan& plan, const std::string& title,
                              const std::vector<Observation>& all) {
  std::vector<Observation> asked;
  for (const Observation& o : all)
    if ((o.level == plan.primary_value || o.level == plan.baseline) &&
        (plan.primary_methods.empty() || std::ranges::count(plan.primary_methods, o.block) > 0))
      asked.push_back(o);
  return {fmt::format("primary, fixed beforehand: {}", title),
          {},
          contrasts(asked, plan.baseline, plan.primary_numbers)};
}

}  // namespace

std::vector<ContrastFamily> contrast_families(const SweepRecipe& recipe,
                                              const std::vector<SweepRow>& rows) {
  const ContrastPlan& plan = recipe.contrast;
  std::vector<ContrastFamily> families;
  if (plan.axis.empty()) return families;
  const auto take = [&](const Grid& grid, const std::string& title,
                        const std::vector<Observation>& all, bool primary, bool along) {
    if (primary) families.insert(families.begin(), primary_family(plan, title, all));
    families.push_back(
        {title, along ? mean_rows(all, plan.numbers) : TextRows{},
         grid.tunes() ? std::vector<Contrast>{} : contrasts(all, plan.baseline, plan.numbers)});
  };
  for (const Grid& grid : recipe.grids) {
    const bool primary = grid.name == plan.primary_grid && !grid.tunes();
    if (!plan.along.empty() && has_axis(recipe, grid, plan.along)) {
      for (const double level : plan.levels)
        take(grid, fmt::format("{} at a forget accuracy of {:g} %", grid.title(), 100 * level),
             observations_at(plan, grid, rows, level), primary && level == plan.levels.front(),
             true);
    } else if (!grid.tunes()) {
      take(grid, grid.name, observations(plan, grid, rows), primary, false);
    }
  }
  std::erase_if(families,
                [](const ContrastFamily& f) { return f.contrasts.empty() && f.means.size() < 2; });
  return families;
}

}  // namespace expunge::tools
