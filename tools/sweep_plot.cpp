#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/svg.h"
#include "tools/sweep_report.h"

namespace expunge::tools {
namespace {

using Get = double Waypoint::*;

// Mean over runs of what each found at its k-th evaluation, as long as all have one.
Plot::Points mean_path(const std::vector<const SweepRow*>& rows, Get y) {
  size_t length = SIZE_MAX;
  for (const SweepRow* row : rows) length = std::min(length, row->trajectory.size());
  Plot::Points points;
  for (size_t k = 0; k < length; ++k) {
    double sum_x = 0, sum_y = 0;
    for (const SweepRow* row : rows)
      sum_x += row->trajectory[k].forget_acc, sum_y += row->trajectory[k].*y;
    const auto n = static_cast<double>(rows.size());
    points.emplace_back(100 * sum_x / n, 100 * sum_y / n);
  }
  return points;
}

// {method or other labels: {level of the contrast's axis: its runs}}
using Blocks = std::map<std::string, std::map<std::string, std::vector<const SweepRow*>>>;
Blocks blocks_of(const SweepRecipe& recipe, const Grid& grid, const std::vector<SweepRow>& rows) {
  Blocks blocks;
  for (const SweepRow& row : rows) {
    if (!row.group.starts_with(grid.title() + "/") || row.trajectory.empty()) continue;
    std::string block, level;
    for (const auto& [axis, label] : row.labels)
      (axis == recipe.contrast.axis ? level : block) +=
          (axis == recipe.contrast.axis ? "" : " ") + label;
    blocks[block][level].push_back(&row);
  }
  return blocks;
}

struct Quantity {
  const char *words, *at_end;  // a number of the retrained runs
  Get get;
};
constexpr Quantity kQuantities[] = {
    {"test accuracy %", "test_acc", &Waypoint::test_acc},
    {"AUC of forget against test %", "confidence_auc", &Waypoint::auc}};

Plot plot_of(const SweepRecipe& recipe, const std::string& title, const Quantity& q,
             const std::map<std::string, std::vector<const SweepRow*>>& levels) {
  std::map<std::string, Plot::Points> paths;
  double low = 100, high = 0, left = 100;
  for (const auto& [level, runs] : levels)
    for (const auto& [x, y] : paths[level] = mean_path(runs, q.get))
      left = std::min(left, x), low = std::min(low, y), high = std::max(high, y);
  const auto& retrained = levels.begin()->second.front()->retrained;
  const auto at = [&](const char* name) {
    const auto it = retrained.find(name);
    return it == retrained.end() ? eval::kNotMeasured : 100 * it->second;
  };
  const double x = at("forget_acc"), y = at(q.at_end);
  if (!std::isnan(x) && !std::isnan(y))
    left = std::min(left, x), low = std::min(low, y), high = std::max(high, y);
  const auto down = [](double v) { return std::floor(v / 10) * 10; };
  Plot plot(title, {"forget accuracy %", down(left), 100, 5},
            {q.words, down(low), down(high) + 10, 5});
  for (const auto& [level, points] : paths)
    if (level != recipe.contrast.baseline && level != recipe.contrast.primary_value)
      plot.line(points, kBlue, true);
  const auto highlight = [&](const std::string& level, const char* colour) {
    if (const auto it = paths.find(level); it != paths.end())
      plot.line(it->second, colour).note(level, colour);
  };
  highlight(recipe.contrast.baseline, kGrey);
  highlight(recipe.contrast.primary_value, kOrange);
  if (paths.size() > 2) plot.note("others", kBlue);
  if (!std::isnan(x) && !std::isnan(y)) plot.dots({{x, y}}, kGreen).note("retrained", kGreen);
  return plot;
}

}  // namespace

std::string trajectory_svg(const SweepRecipe& recipe, const Grid& grid,
                           const std::vector<SweepRow>& rows) {
  std::vector<Plot> plots;
  for (const auto& [block, levels] : blocks_of(recipe, grid, rows))
    for (const Quantity& q : kQuantities) plots.push_back(plot_of(recipe, block, q, levels));
  if (plots.empty()) return "";
  return svg_figure(fmt::format("{}: on the way, means over seeds", grid.name), plots, 2);
}

}  // namespace expunge::tools
