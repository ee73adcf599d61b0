#include "tools/sweep_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "core/check.h"
#include "tools/unlearning.h"

namespace expunge::tools {
namespace {

// A value of every axis.
struct Combination {
  std::vector<std::pair<std::string, const GridAxis::Value*>> values;

  OptionValues options() const {
    OptionValues all;
    for (const auto& [axis, value] : values)
      all.insert(all.end(), value->options.begin(), value->options.end());
    return all;
  }
  std::string words(const char* between) const {
    std::string text;
    for (const auto& [axis, value] : values) text += (text.empty() ? "" : between) + value->label;
    return text;
  }
};

using AxisTest = std::function<bool(const GridAxis&)>;

std::vector<Combination> combinations(
    const std::vector<GridAxis>& axes,
    const AxisTest& counts = [](const GridAxis&) { return true; }) {
  std::vector<Combination> all(1);
  for (const GridAxis& axis : axes) {
    if (!counts(axis)) continue;
    std::vector<Combination> longer;
    for (const Combination& one : all)
      for (const GridAxis::Value& value : axis.values) {
        longer.push_back(one);
        longer.back().values.emplace_back(axis.name, &value);
      }
    all = std::move(longer);
  }
  return all;
}

// Of a [tune]: what is tuned, without what is chosen.
std::vector<Combination> tuned(const Grid& tune) {
  return combinations(tune.axes, [&](const GridAxis& axis) {
    return std::ranges::find(tune.chosen, axis.name) == tune.chosen.end();
  });
}

std::string folder_name(std::string text) {
  for (const char c : {':', ',', '=', '+', ' ', '/'}) std::ranges::replace(text, c, '-');
  return text;
}

std::string run_name(const std::string& group, int64_t seed) {
  const size_t slash = group.find('/');
  std::string tail = group.substr(slash + 1);
  std::ranges::replace(tail, ' ', '_');
  return fmt::format("{}/{}-{}", group.substr(0, slash), folder_name(tail), seed);
}

std::string words_of(const OptionValues& options) {
  std::string text;
  for (const auto& [name, value] : options)
    if (name != "data") text += fmt::format("{}--{} {}", text.empty() ? "" : " ", name, value);
  return text;
}

OptionValues joined(std::initializer_list<OptionValues> parts) {
  OptionValues all;
  for (const OptionValues& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::string joined_words(const std::string& a, const std::string& b, const char* between = " ") {
  return a + (a.empty() || b.empty() ? "" : between) + b;
}

class Planner {
 public:
  Planner(const SweepRecipe& recipe, const OptionValues& everywhere,
          const std::vector<SweepRow>& rows)
      : recipe_(recipe), everywhere_(everywhere), rows_(rows) {}

  SweepPlan plan() {
    const std::vector<Combination> kinds = combinations(recipe_.original_axes);
    for (const Grid& grid : recipe_.grids)
      for (const Combination& kind : kinds) {
        kind_ = kind;
        networks_of(grid);
        const std::vector<Cell> all = cells(grid);
        // seed by seed: a sweep that is stopped has all of the first
        for (const int64_t seed : grid.seeds)
          for (const Cell& cell : all) unlearn(grid, cell, seed);
      }
    for (const PlannedRun& run : plan_.runs) check_row(run);
    return std::move(plan_);
  }

 private:
  const std::string& set_of(const Grid& grid) const {
    return grid.tuned_by.empty() ? grid.forget_set : recipe_.tune(grid.tuned_by)->forget_set;
  }
  // "original-0", "retrained-class0-resnet18-2"
  std::string network_name(const std::string& what, int64_t seed) const {
    return fmt::format("{}-{}", folder_name(joined_words(what, kind_.words("-"), "-")), seed);
  }
  std::string original_name(int64_t seed) const { return network_name("original", seed); }
  std::string retrained_name(const std::string& set, int64_t seed) const {
    return network_name("retrained-" + set, seed);
  }

  // Retrained networks that a grid is measured against.
  std::vector<int64_t> reference_seeds(const Grid& grid) const {
    if (grid.tunes()) return grid.seeds;  // the pilot's alone
    std::vector<int64_t> seeds;
    for (int64_t s = 0; s < recipe_.forget_set(set_of(grid)).references; ++s) seeds.push_back(s);
    return seeds;
  }
  std::vector<std::string> references(const Grid& grid) const {
    std::vector<std::string> names;
    for (const int64_t seed : reference_seeds(grid))
      names.push_back(retrained_name(set_of(grid), seed));
    return names;
  }

  void add(PlannedRun run) {
    if (!known_.insert(run.row.run).second) return;
    std::erase_if(run.options, [&](const auto& option) {
      return std::ranges::find(everywhere_, option.first, &OptionValues::value_type::first) !=
             everywhere_.end();
    });
    run.options = joined({run.options, everywhere_});
    run.row.arguments = words_of(run.options);
    if (run.verb == "train" && !recipe_.corruption.empty())
      run.row.arguments += ", data corrupted with " + words_of(recipe_.corruption);
    if (run.shadows > 0)
      run.row.arguments += fmt::format(", attacked with {} shadows", run.shadows);
    if (run.verb == "unlearn") check_options(run);
    plan_.runs.push_back(std::move(run));
  }

  // Originals of a grid's seeds, retrained networks of its set, and what both are like.
  void networks_of(const Grid& grid) {
    const std::string& set = set_of(grid);
    for (const int64_t seed : grid.seeds) train(original_name(seed), seed, {});
    for (const int64_t seed : reference_seeds(grid))
      train(retrained_name(set, seed), seed, recipe_.forget_set(set).options);
    for (const int64_t seed : reference_seeds(grid))
      look(grid, "retrained", retrained_name(set, seed), seed);
    if (grid.tunes()) return;
    for (const int64_t seed : grid.seeds) look(grid, "original", original_name(seed), seed);
  }

  void train(const std::string& name, int64_t seed, const OptionValues& without) {
    add({.row = {.run = name, .group = name.substr(0, name.rfind('-')), .seed = seed},
         .verb = "train",
         .folder = name,
         .options = joined(
             {recipe_.original, kind_.options(), without, {{"seed", std::to_string(seed)}}})});
  }

  void look(const Grid& grid, const char* what, const std::string& folder, int64_t seed) {
    const std::string group = fmt::format("{}/{}", grid.tunes() ? grid.title() : set_of(grid),
                                          joined_words(what, kind_.words(" ")));
    const std::vector<std::string> against = references(grid);
    std::vector<std::string> needs = against;
    needs.push_back(folder);
    add({.row = {.run = run_name(group, seed), .group = group, .seed = seed},
         .verb = "",
         .folder = folder,
         .needs = needs,
         .against = against});
  }

  // Those of a tuned grid are known when its [tune] is complete.
  struct Cell {
    Combination one;
    OptionValues chosen{};
  };
  std::vector<Cell> cells(const Grid& grid) {
    std::vector<Cell> all;
    if (grid.tuned_by.empty()) {
      for (Combination& one : combinations(grid.axes)) all.push_back({std::move(one)});
      return all;
    }
    const Grid& tune = *recipe_.tune(grid.tuned_by);
    std::vector<Choice> chosen = choices(tune, rows_);
    std::vector<Combination> of = tuned(tune);
    if (chosen.empty()) plan_.waiting += std::ssize(of) * std::ssize(grid.seeds);
    for (size_t i = 0; i < chosen.size(); ++i)
      all.push_back({std::move(of[i]), std::move(chosen[i].options)});
    return all;
  }

  void unlearn(const Grid& grid, const Cell& cell, int64_t seed) {
    const Grid& base = grid.tuned_by.empty() ? grid : *recipe_.tune(grid.tuned_by);
    const std::string& set = base.forget_set;
    const std::string group =
        fmt::format("{}/{}", grid.title(), joined_words(kind_.words(" "), cell.one.words(" ")));
    const std::vector<std::string> against = references(grid);
    PlannedRun run{.row = {.run = run_name(group, seed), .group = group, .seed = seed},
                   .verb = "unlearn",
                   .folder = run_name(group, seed),
                   .options = joined({base.fixed,
                                      &base == &grid ? OptionValues{} : grid.fixed,
                                      cell.one.options(),
                                      cell.chosen,
                                      recipe_.forget_set(set).options,
                                      {{"seed", std::to_string(seed)}}}),
                   .from = original_name(seed),
                   .needs = against,
                   .against = grid.tunes() ? std::vector<std::string>{} : against,
                   .shadows = grid.tunes() ? 0 : recipe_.shadows};
    run.needs.push_back(run.from);
    for (const Combination& part : {kind_, cell.one})
      for (const auto& [axis, value] : part.values) run.row.labels[axis] = value->label;
    add(std::move(run));
  }

  // What would not go together is found before hours have passed.
  static void check_options(const PlannedRun& run) {
    Settings settings(run.verb);
    for (const auto& [name, value] : run.options)
      settings.set(name, value, Source::flag, run.row.group);
    try {
      resolve_preset(settings);
    } catch (const Error& error) {
      fail(error.code(), "{}: {}", run.row.group, error.what());
    }
  }

  void check_row(const PlannedRun& run) const {
    const auto it = std::ranges::find(rows_, run.row.run, &SweepRow::run);
    if (it != rows_.end() && it->arguments != run.row.arguments)
      fail(ExitCode::input,
           "{} was made with '{}', the recipe now says '{}'; another --out keeps both", run.row.run,
           it->arguments, run.row.arguments);
  }

  const SweepRecipe& recipe_;
  const OptionValues& everywhere_;
  const std::vector<SweepRow>& rows_;
  std::set<std::string> known_;
  Combination kind_{};  // of network, where [original] has arrays
  SweepPlan plan_;
};

}  // namespace

double tuning_score(const SweepRow& row, const SweepRow& retrained) {
  double sum = 0;
  for (const char* part : {"forget_acc", "retain_acc", "val_acc"})
    sum += 100 * std::abs(row.number(part) - retrained.number(part)) / 3;
  return sum;
}

std::vector<Choice> choices(const Grid& tune, const std::vector<SweepRow>& rows) {
  std::vector<Choice> all;
  const auto retrained =
      std::ranges::find(rows, fmt::format("{}/retrained", tune.title()), &SweepRow::group);
  if (retrained == rows.end()) return all;
  for (const Combination& of : tuned(tune)) {
    Choice best{.group = of.words(" "), .options = {}, .score = eval::kNotMeasured};
    for (const Combination& one : combinations(tune.axes)) {
      if (!std::ranges::all_of(of.values, [&](const auto& value) {
            return std::ranges::find(one.values, value) != one.values.end();
          }))
        continue;
      const std::string group = fmt::format("{}/{}", tune.title(), one.words(" "));
      const auto row = std::ranges::find(rows, group, &SweepRow::group);
      if (row == rows.end()) return {};  // not complete yet
      const double score = tuning_score(*row, *retrained);
      if (std::isnan(score) || score >= best.score) continue;
      best.score = score;
      best.options.clear();
      for (const auto& [axis, value] : one.values)
        if (std::ranges::find(tune.chosen, axis) != tune.chosen.end())
          best.options.insert(best.options.end(), value->options.begin(), value->options.end());
    }
    if (std::isnan(best.score))
      fail(ExitCode::numerical, "tune.{}: no value worked for {}", tune.name, best.group);
    all.push_back(std::move(best));
  }
  return all;
}

SweepPlan plan_sweep(const SweepRecipe& recipe, const OptionValues& everywhere,
                     const std::vector<SweepRow>& rows) {
  return Planner(recipe, everywhere, rows).plan();
}

}  // namespace expunge::tools
