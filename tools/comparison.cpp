#include "tools/comparison.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/check.h"
#include "core/nearest.h"
#include "tools/text_table.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

eval::Spread spread_of(const RunGroup& group, const RunNumber& number) {
  std::vector<double> values;
  for (const ComparedRun* run : group.runs) values.push_back(number.shown(number.get(*run)));
  return eval::spread_of(values);
}

std::string json_of(const std::vector<Waypoint>& trajectory) {
  std::string points;
  for (const Waypoint& w : trajectory)
    points +=
        fmt::format(R"({}{{"step":{},"forget_acc":{},"retain_acc":{},"test_acc":{},"auc":{}}})",
                    points.empty() ? "" : ",", w.step, json_number(w.forget_acc),
                    json_number(w.retain_acc), json_number(w.test_acc), json_number(w.auc));
  return points;
}

// "spreads" of a metric, mean over the runs of the group.
std::string spreads_cell(const RunGroup& group, const std::string& metric) {
  std::vector<double> values;
  for (const ComparedRun* run : group.runs)
    if (run->comparison)
      for (const eval::Gap& gap : run->comparison->gaps)
        if (gap.metric->name == metric) values.push_back(gap.spreads);
  const double mean = eval::spread_of(values).mean;
  return std::isnan(mean) ? "-" : fmt::format("{:+.1f}", mean);
}

// " lr=0.01": the words of a group's variant that not all groups with its label have.
std::string what_differs(const RunGroup& group, const std::vector<RunGroup>& groups) {
  const ComparedRun& mine = *group.runs.front();
  std::istringstream words(mine.variant);
  std::string text;
  for (std::string word; words >> word;)
    if (std::ranges::any_of(groups, [&](const RunGroup& g) {
          const ComparedRun& other = *g.runs.front();
          return other.label == mine.label &&
                 (" " + other.variant + " ").find(" " + word + " ") == std::string::npos;
        }))
      text += " " + word;
  return text;
}

}  // namespace

std::vector<RunGroup> group_by_recipe(const std::vector<ComparedRun>& runs) {
  std::vector<RunGroup> groups;
  for (const ComparedRun& run : runs) {
    const auto it = std::ranges::find_if(groups, [&](const RunGroup& g) {
      return g.runs.front()->label == run.label && g.runs.front()->variant == run.variant;
    });
    if (it == groups.end())
      groups.push_back({run.label, {&run}});
    else
      it->runs.push_back(&run);
  }
  for (RunGroup& g : groups) g.name += what_differs(g, groups);
  return groups;
}

std::string comparison_table(const std::vector<RunGroup>& groups) {
  struct Column {
    const char *head, *name;
  };
  constexpr Column kMain[] = {{"forget %", "forget_acc"},
                              {"retain %", "retain_acc"},
                              {"test %", "test_acc"},
                              {"rUA", "rUA"},
                              {"FID %", "FID"},
                              {"KL", "KL"},
                              {"MIA %", "svc_confidence"},
                              {"loss attack %", "loss_attack"},
                              {"AUC %", "confidence_auc"},
                              {"attack success %", "attack_success"},
                              {"avg gap", "average_gap"},
                              {"RTE s", "RTE"},
                              {"steps", "steps"}};
  constexpr Column kSpreads[] = {{"forget", "forget_acc"},       {"retain", "retain_acc"},
                                 {"test", "test_acc"},           {"MIA", "svc_confidence"},
                                 {"loss attack", "loss_attack"}, {"AUC", "confidence_auc"}};
  TextRows main = {{"run", "n"}}, spreads = {{"run"}};
  std::vector<Column> columns;  // the success of an attack only where there was one
  for (const Column& c : kMain)
    if (c.name != std::string_view("attack_success") ||
        std::ranges::any_of(
            groups, [](const RunGroup& g) { return !std::isnan(g.runs.front()->attack_success); }))
      columns.push_back(c);
  for (const Column& c : columns) main.front().emplace_back(c.head);
  for (const Column& c : kSpreads) spreads.front().emplace_back(c.head);
  bool any = false;
  for (const RunGroup& g : groups) {
    main.push_back({g.name, std::to_string(g.runs.size())});
    for (const Column& c : columns)
      main.back().push_back(
          mean_and_sd(spread_of(g, run_number(c.name)), run_number(c.name).digits));
    if (g.runs.front()->label == "retrained") continue;  // the measure itself
    spreads.push_back({g.name});
    for (const Column& c : kSpreads) {
      spreads.back().push_back(spreads_cell(g, c.name));
      any = any || spreads.back().back() != "-";
    }
  }
  std::string text = aligned(main);
  text +=
      "\nrUA: forget accuracy minus the retrained runs'. FID: classified as by a retrained run. "
      "MIA: forget samples\nthat an SVC on the confidence calls members. AUC: forget against "
      "unseen test samples by confidence. An\nattack is good where it is near the retrained "
      "runs' value, not where it is low.\n";
  if (any)
    text += "\nGaps to the retrained runs, in units of their standard deviation over seeds:\n" +
            aligned(spreads);
  return text;
}

std::string comparison_csv(const std::vector<ComparedRun>& runs) {
  std::string text = "run,label,variant,seed";
  for (const RunNumber& n : run_numbers()) text += "," + n.name;
  text += "\n";
  const auto quoted = [](std::string s) {
    for (size_t at = 0; (at = s.find('"', at)) != s.npos; at += 2) s.insert(at, 1, '"');
    return '"' + s + '"';
  };
  for (const ComparedRun& run : runs) {
    text += fmt::format("{},{},{},{}", quoted(run.folder), quoted(run.label), quoted(run.variant),
                        run.seed);
    for (const RunNumber& n : run_numbers()) {
      const double value = n.get(run);
      text += std::isfinite(value) ? fmt::format(",{:.8g}", value) : ",";
    }
    text += "\n";
  }
  return text;
}

std::string comparison_json(const std::vector<ComparedRun>& runs,
                            const std::vector<RunGroup>& groups,
                            const std::vector<Contrast>& contrasts) {
  std::string rows, sums, tests;
  for (const ComparedRun& run : runs) {
    std::string numbers;
    for (const RunNumber& n : run_numbers())
      numbers +=
          fmt::format("{}\"{}\":{}", numbers.empty() ? "" : ",", n.name, json_number(n.get(run)));
    rows += fmt::format(
        "{}{{\"run\":{},\"label\":{},\"variant\":{},\"seed\":{},\"numbers\":{{{}}},"
        "\"trajectory\":[{}]}}",
        rows.empty() ? "" : ",", json_string(run.folder), json_string(run.label),
        json_string(run.variant), run.seed, numbers, json_of(run.trajectory));
  }
  for (const RunGroup& g : groups) {
    std::string numbers;
    for (const RunNumber& n : run_numbers()) {
      std::vector<double> values;
      for (const ComparedRun* run : g.runs) values.push_back(n.get(*run));
      const eval::Spread s = eval::spread_of(values);
      numbers += fmt::format("{}\"{}\":{{\"mean\":{},\"sd\":{}}}", numbers.empty() ? "" : ",",
                             n.name, json_number(s.mean), json_number(s.sd));
    }
    sums += fmt::format("{}{{\"name\":{},\"runs\":{},\"numbers\":{{{}}}}}", sums.empty() ? "" : ",",
                        json_string(g.name), g.runs.size(), numbers);
  }
  for (const Contrast& c : contrasts)
    tests += fmt::format("{}{{{}}}", tests.empty() ? "" : ",", contrast_fields(c));
  return fmt::format(
      "{{\"schema\":\"expunge.compare/1\",\"runs\":[{}],\"groups\":[{}],\"contrasts\":[{}]}}\n",
      rows, sums, tests);
}

std::vector<Contrast> group_contrasts(const std::vector<RunGroup>& groups,
                                      const std::string& baseline) {
  std::vector<Observation> runs;
  std::vector<std::string> names;
  for (const RunGroup& g : groups) {
    if (g.runs.front()->status.verb != "unlearn") continue;
    names.push_back(g.name);
    for (const ComparedRun* run : g.runs)
      runs.push_back({.block = "",
                      .level = g.name,
                      .seed = run->seed,
                      .number = [run](const std::string& name) {
                        const RunNumber& number = run_number(name);
                        return number.shown(number.get(*run));
                      }});
  }
  if (std::ranges::find(names, baseline) == names.end())
    fail(ExitCode::usage, "--against: '{}' is no row of unlearned runs here{}; these are: {}",
         baseline, nearest_hint(baseline, names), fmt::join(names, ", "));
  return contrasts(runs, baseline,
                   {"auc_gap", "entropy_auc_gap", "loss_attack_gap", "forget_gap", "test_acc",
                    "matched_auc_gap", "matched_test_acc"});
}

}  // namespace expunge::tools
