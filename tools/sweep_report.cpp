#include "tools/sweep_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/check.h"
#include "tools/run_numbers.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

struct Column {
  const char *head, *name;
};
constexpr Column kColumns[] = {{"forget %", "forget_acc"},
                               {"retain %", "retain_acc"},
                               {"test %", "test_acc"},
                               {"FID %", "FID"},
                               {"KL", "KL"},
                               {"AUC %", "confidence_auc"},
                               {"entropy AUC %", "entropy_auc"},
                               {"loss attack %", "loss_attack"},
                               {"trigger obeyed %", "attack_success"},
                               {"U-LiRA AUC %", "ulira_auc"},
                               {"from", "ulira_auc_low"},
                               {"to", "ulira_auc_high"},
                               {"before", "ulira_auc_before"},
                               {"U-LiRA TPR %", "ulira_tpr_at_1"},
                               {"matched step", "matched_step"},
                               {"matched test %", "matched_test_acc"},
                               {"matched AUC %", "matched_auc"}};

// In the unit of tables.
double shown(const SweepRow& row, const std::string& number) {
  return run_number(number).shown(row.number(number));
}

eval::Spread spread_of(const RowGroup& group, const std::string& number) {
  std::vector<double> values;
  for (const SweepRow* row : group.rows)
    if (const double value = shown(*row, number); !std::isnan(value)) values.push_back(value);
  return eval::spread_of(values);
}

int64_t count_of(const RowGroup& group, const std::string& number) {
  return std::ranges::count_if(
      group.rows, [&](const SweepRow* row) { return !std::isnan(row->number(number)); });
}

std::string stem(const std::string& group) {
  return group.substr(0, group.find('/'));
}

bool is_network(const RowGroup& group, const std::string& set) {
  return group.name.starts_with(set + "/retrained") || group.name.starts_with(set + "/original");
}

// Of a grid: its runs, and the networks beside them.
std::vector<const RowGroup*> lines_of(const Grid& grid, const std::string& set,
                                      const std::vector<RowGroup>& groups) {
  std::vector<const RowGroup*> lines;
  for (const RowGroup& g : groups)
    if (is_network(g, set) || (stem(g.name) == grid.title() && !is_network(g, grid.title())))
      lines.push_back(&g);
  return lines;
}

TextRows grid_table(const Grid& grid, const std::string& set, const std::vector<RowGroup>& groups) {
  const std::vector<const RowGroup*> lines = lines_of(grid, set, groups);
  std::vector<Column> columns;  // those that were measured
  for (const Column& c : kColumns)
    if (std::ranges::any_of(lines, [&](const RowGroup* g) { return count_of(*g, c.name) > 0; }))
      columns.push_back(c);
  TextRows rows = {{"run", "n"}};
  for (const Column& c : columns) rows.front().emplace_back(c.head);
  rows.front().emplace_back("reached");
  for (const RowGroup* g : lines) {
    const auto n = std::ssize(g->rows), good = count_of(*g, "forget_acc");
    const std::string own = g->name.substr(g->name.find('/') + 1);
    rows.push_back({own.empty() ? grid.name : own,  // nothing in the grid varies but the seed
                    good == n ? std::to_string(n) : fmt::format("{} of {}", good, n)});
    for (const Column& c : columns)
      rows.back().push_back(mean_and_sd(spread_of(*g, c.name), run_number(c.name).digits));
    rows.back().push_back(
        is_network(*g, set) ? "" : fmt::format("{}/{}", count_of(*g, "matched_step"), n));
  }
  return rows;
}

TextRows choice_table(const Grid& tune, const std::vector<Choice>& all) {
  TextRows rows = {{"tune-" + tune.name, "chosen", "score"}};
  for (const Choice& c : all) {
    std::string words;
    for (const auto& [name, value] : c.options)
      words += fmt::format("{}{} {}", words.empty() ? "" : ", ", name, value);
    rows.push_back({c.group, words, fmt::format("{:.2f}", c.score)});
  }
  return rows;
}

}  // namespace

std::vector<RowGroup> row_groups(const SweepPlan& plan, const std::vector<SweepRow>& rows) {
  std::vector<RowGroup> groups;
  std::set<std::string> seen;
  for (const PlannedRun& run : plan.runs) {
    if (!seen.insert(run.row.group).second) continue;
    RowGroup group{run.row.group, {}};
    for (const SweepRow& row : rows)
      if (row.group == group.name) group.rows.push_back(&row);
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

std::string sweep_report(const SweepRecipe& recipe, const SweepPlan& plan,
                         const std::vector<SweepRow>& rows, std::string (*table)(const TextRows&)) {
  const std::vector<RowGroup> groups = row_groups(plan, rows);
  std::string text;
  for (const Grid& grid : recipe.grids) {
    if (grid.tunes()) {
      if (const std::vector<Choice> chosen = choices(grid, rows); !chosen.empty())
        text += table(choice_table(grid, chosen)) + "\n";
      continue;
    }
    const std::string& set =
        grid.tuned_by.empty() ? grid.forget_set : recipe.tune(grid.tuned_by)->forget_set;
    if (const TextRows lines = grid_table(grid, set, groups); lines.size() > 1)
      text += fmt::format("{}\n\n", grid.name) + table(lines) + "\n";
  }
  for (const ContrastFamily& family : contrast_families(recipe, rows)) {
    if (family.means.size() > 1) text += family.title + "\n\n" + table(family.means) + "\n";
    if (!family.contrasts.empty())
      text += fmt::format("Against {} {}: {}\n\n", recipe.contrast.axis, recipe.contrast.baseline,
                          family.title) +
              table(contrast_rows(family.contrasts, recipe.contrast.baseline)) + "\n";
  }
  return text;
}

std::string sweep_csv(const std::vector<SweepRow>& rows) {
  std::string text = "run,group,seed,exit_code,seconds";
  for (const RunNumber& n : run_numbers()) text += "," + n.name;
  text += "\n";
  for (const SweepRow& row : rows) {
    text += fmt::format("{},\"{}\",{},{},{:.3f}", row.run, row.group, row.seed, row.exit_code,
                        row.seconds);
    for (const RunNumber& n : run_numbers()) {
      const double value = row.number(n.name);
      text += std::isfinite(value) ? fmt::format(",{:.8g}", value) : ",";
    }
    text += "\n";
  }
  return text;
}

std::string sweep_json(const SweepRecipe& recipe, const std::vector<SweepRow>& rows) {
  std::string lines, tests;
  for (const SweepRow& row : rows) lines += (lines.empty() ? "" : ",") + row_json(row);
  for (const ContrastFamily& family : contrast_families(recipe, rows))
    for (const Contrast& c : family.contrasts)
      tests += fmt::format("{}{{\"family\":{},{}}}", tests.empty() ? "" : ",",
                           json_string(family.title), contrast_fields(c));
  return fmt::format(
      "{{\"schema\":\"expunge.sweep/1\",\"recipe\":{},\"rows\":[{}],"
      "\"contrasts\":[{}]}}\n",
      json_string(recipe.name), lines, tests);
}

std::vector<std::string> broken_expectations(const SweepRecipe& recipe,
                                             const std::vector<SweepRow>& rows) {
  std::vector<std::string> broken;
  for (const Expectation& e : recipe.expectations) {
    RowGroup group{e.group, {}};
    for (const SweepRow& row : rows)
      if (row.group == e.group) group.rows.push_back(&row);
    const double mean = spread_of(group, e.number).mean;
    if (!(std::abs(mean - e.value) <= e.tolerance))  // a NaN is broken
      broken.push_back(fmt::format("{}: {} is {:.4g}, expected {:.4g} ± {:.4g}", e.group, e.number,
                                   mean, e.value, e.tolerance));
  }
  return broken;
}

}  // namespace expunge::tools
