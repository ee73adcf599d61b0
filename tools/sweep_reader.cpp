#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "tools/options.h"
#include "tools/run_numbers.h"
#include "tools/shadow_plan.h"
#include "tools/sweep_recipe.h"
#include "tools/toml_reader.h"

namespace expunge::tools {
namespace {

// What every run gets from the sweep itself.
constexpr const char* kOwn[] = {"seed",        "out",    "from",    "forget",
                                "forget-seed", "resume", "config",  "dry-run",
                                "progress",    "json",   "threads", "reference"};

bool is_folder_name(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
}

// Reads one file into a recipe.
class Reader : TomlReader {
 public:
  Reader(std::string file, const std::string& name)
      : TomlReader(std::move(file)), recipe_{.name = name} {}
  SweepRecipe read(const TomlNode& root);

 private:
  std::vector<std::string> numbers(const TomlNode& node) const {
    std::vector<std::string> all = texts(node);
    for (const std::string& name : all) check_number(node, name);
    return all;
  }

  // An option as the verb itself would take it from a file.
  void check_option(const char* verb, const TomlNode& node) const {
    if (std::ranges::find(kOwn, node.key) != std::end(kOwn))
      refuse(node, fmt::format("{} is set by the sweep", node.key));
    check_value(verb, node);
  }
  void check_value(const char* verb, const TomlNode& node) const {
    Settings(verb).set(node.key, text(node), Source::file, place(node));
  }
  OptionValues options(const char* verb, const TomlNode& node) const;
  void original(const TomlNode& node);
  void corruption(const TomlNode& node);
  void shadows(const TomlNode& node);
  ForgetSet forget_set(const TomlNode& node) const;
  GridAxis axis(const char* verb, const TomlNode& node) const;
  void grids(const TomlNode& node, bool tunes);
  Grid grid(const TomlNode& node, bool tunes) const;
  void contrast(const TomlNode& node);
  void expectation(const TomlNode& node);
  std::vector<double> shares(const TomlNode& node) const;
  void check_number(const TomlNode& node, const std::string& number) const;
  void check_links(const TomlNode& root) const;

  SweepRecipe recipe_;
};

OptionValues Reader::options(const char* verb, const TomlNode& node) const {
  OptionValues values;
  for (const TomlNode& item : table(node).items) {
    check_option(verb, item);
    values.emplace_back(item.key, item.text);
  }
  return values;
}

void Reader::original(const TomlNode& node) {
  for (const TomlNode& item : table(node).items)
    if (item.kind == Kind::array)
      recipe_.original_axes.push_back(axis("train", item));
    else
      check_option("train", item), recipe_.original.emplace_back(item.key, item.text);
}

void Reader::shadows(const TomlNode& node) {
  Settings eval("eval");
  try {
    eval.set("attacks", "ulira", Source::file, "attacks");
    eval.set("shadows", text(node), Source::file, "shadows");
    check_shadow_options(eval);
  } catch (const Error& error) {
    refuse(node, error.what());
  }
  recipe_.shadows = eval.integer("shadows");
}

void Reader::corruption(const TomlNode& node) {
  for (const TomlNode& item : table(node).items)
    check_value("data-corrupt", item), recipe_.corruption.emplace_back(item.key, item.text);
}

ForgetSet Reader::forget_set(const TomlNode& node) const {
  ForgetSet set{.name = node.key};
  for (const TomlNode& item : table(node).items) {
    if (item.key == "references")
      set.references = number<int64_t>(item);
    else if (item.key == "forget" || item.key == "forget-seed")
      check_value("unlearn", item), set.options.emplace_back(item.key, item.text);
    else
      unknown(item, {"forget", "forget-seed", "references"});
  }
  if (node.find("forget") == nullptr) refuse(node, "forget = SPEC is missing");
  if (set.references < 1) refuse(node, "references must be 1 or more");
  return set;
}

// gate = ["none", "focus", {estimator = "welford:8", gate = "prob:0.8"}]
GridAxis Reader::axis(const char* verb, const TomlNode& node) const {
  GridAxis axis{.name = node.key, .values = {}};
  for (const TomlNode& item : node.items) {
    if (item.kind != Kind::table) {
      TomlNode named = item;
      named.key = node.key;
      check_option(verb, named);
      axis.values.push_back({named.text, {{node.key, named.text}}});
      continue;
    }
    GridAxis::Value value{.label = "", .options = options(verb, item)};
    for (const auto& [key, of] : value.options)
      value.label += (value.label.empty() ? "" : "+") + of;
    axis.values.push_back(std::move(value));
  }
  if (axis.values.empty()) refuse(node, fmt::format("{} is empty", node.key));
  return axis;
}

Grid Reader::grid(const TomlNode& node, bool tunes) const {
  Grid grid{.name = node.key, .line = node.line};
  for (const TomlNode& item : table(node).items) {
    if (item.key == "forget-set") continue;  // a grid each
    if (item.key == "tuned-by" && !tunes)
      grid.tuned_by = text(item);
    else if (item.key == "choose" && tunes)
      grid.chosen = texts(item);
    else if (item.key == "seed" && tunes)
      grid.seeds = {number<int64_t>(item)};
    else if (item.key == "seeds" && !tunes)
      for (const TomlNode& seed : expect(item, Kind::array, "an array of numbers").items)
        grid.seeds.push_back(number<int64_t>(seed));
    else if (item.kind == Kind::array)
      grid.axes.push_back(axis("unlearn", item));
    else
      check_option("unlearn", item), grid.fixed.emplace_back(item.key, item.text);
  }
  if (grid.seeds.empty())
    refuse(node, tunes ? "seed = PILOT is missing" : "seeds = [...] is missing");
  if (tunes && grid.chosen.empty()) refuse(node, "choose = [...] is missing");
  for (const std::string& name : grid.chosen)
    if (std::ranges::find(grid.axes, name, &GridAxis::name) == grid.axes.end())
      refuse(node, fmt::format("choose: {} has no array of values here", name));
  return grid;
}

// One for each forget set, named after it where there are several.
void Reader::grids(const TomlNode& node, bool tunes) {
  Grid one = grid(node, tunes);
  const TomlNode* sets = node.find("forget-set");
  const std::vector<std::string> names =
      sets == nullptr ? std::vector<std::string>{""} : texts(*sets);
  for (const std::string& set : names) {
    recipe_.grids.push_back(one);
    recipe_.grids.back().forget_set = set;
    if (names.size() > 1) recipe_.grids.back().name += "-" + set;
  }
}

void Reader::check_number(const TomlNode& node, const std::string& number) const {
  std::vector<std::string> known;
  for (const RunNumber& n : run_numbers()) known.push_back(n.name);
  if (std::ranges::find(known, number) == known.end())
    refuse(node,
           fmt::format("{}: '{}' is not known{}", node.key, number, nearest_hint(number, known)));
}

std::vector<double> Reader::shares(const TomlNode& node) const {
  std::vector<double> all;
  for (const TomlNode& item : expect(node, Kind::array, "an array").items) {
    TomlNode named = item;
    named.key = node.key;
    all.push_back(number<double>(named));
    if (!(all.back() > 0 && all.back() < 1))
      refuse(named, fmt::format("{}: {} is no share between 0 and 1", node.key, item.text));
  }
  return all;
}

void Reader::contrast(const TomlNode& node) {
  ContrastPlan& plan = recipe_.contrast;
  for (const TomlNode& item : table(node).items) {
    if (item.key == "axis")
      plan.axis = text(item);
    else if (item.key == "baseline")
      plan.baseline = text(item);
    else if (item.key == "numbers")
      plan.numbers = numbers(item);
    else if (item.key == "along")
      plan.along = text(item);
    else if (item.key == "at")
      plan.levels = shares(item);
    else if (item.key == "primary-grid")
      plan.primary_grid = text(item);
    else if (item.key == "primary-value")
      plan.primary_value = text(item);
    else if (item.key == "primary-numbers")
      plan.primary_numbers = numbers(item);
    else if (item.key == "primary-methods")
      plan.primary_methods = texts(item);
    else
      unknown(item, {"axis", "baseline", "numbers", "along", "at", "primary-grid", "primary-value",
                     "primary-numbers", "primary-methods"});
  }
  if (plan.along.empty() != plan.levels.empty())
    refuse(node, "along names an axis, at the forget accuracies to compare at: both or neither");
}

void Reader::expectation(const TomlNode& node) {
  Expectation e{};
  for (const TomlNode& item : table(node).items) {
    if (item.key == "group")
      e.group = text(item);
    else if (item.key == "number")
      check_number(item, e.number = text(item));
    else if (item.key == "value")
      e.value = number<double>(item);
    else if (item.key == "tolerance")
      e.tolerance = number<double>(item);
    else
      unknown(item, {"group", "number", "value", "tolerance"});
  }
  recipe_.expectations.push_back(std::move(e));
}

// Names that one table has of another; what does not go together.
void Reader::check_links(const TomlNode& root) const {
  const auto names = [](const auto& all) {
    std::vector<std::string> found;
    for (const auto& one : all) found.push_back(one.name);
    return found;
  };
  const auto node_of = [](const TomlNode& all, const Grid& g) {
    const std::vector<TomlNode>& tables = all.find(g.tunes() ? "tune" : "grid")->items;
    return *std::ranges::find(tables, g.line, &TomlNode::line);
  };
  bool has_along = recipe_.contrast.along.empty();
  for (const Grid& g : recipe_.grids) {
    const TomlNode node = node_of(root, g);
    for (const GridAxis& axis : g.axes) {
      if (axis.name != recipe_.contrast.along) continue;
      has_along = true;
      if (!axis.is_numbers())
        refuse(node, fmt::format("contrast along {}: its values must be numbers", axis.name));
    }
    if (g.tunes() && !recipe_.original_axes.empty())
      refuse(node, "tuning needs one kind of original, and [original] has an array");
    if (!g.tuned_by.empty()) {
      if (recipe_.tune(g.tuned_by) == nullptr)
        refuse(node, fmt::format("tuned-by: there is no [tune.{}]", g.tuned_by));
      if (!g.forget_set.empty() || !g.axes.empty())
        refuse(node, "forget-set and axes come from the table in tuned-by");
    } else if (std::ranges::find(recipe_.forget_sets, g.forget_set, &ForgetSet::name) ==
               recipe_.forget_sets.end()) {
      refuse(node, fmt::format("forget-set: '{}' is not known{}", g.forget_set,
                               nearest_hint(g.forget_set, names(recipe_.forget_sets))));
    }
  }
  if (!has_along)
    refuse(*root.find("contrast"),
           fmt::format("contrast along {}: no table has an array of it", recipe_.contrast.along));
}

SweepRecipe Reader::read(const TomlNode& root) {
  const auto each = [&](const char* name, const std::function<void(const TomlNode&)>& take) {
    const TomlNode* all = root.find(name);
    if (all == nullptr) return;
    for (const TomlNode& item : table(*all).items) {
      if (!is_folder_name(item.key))
        refuse(item, fmt::format("'{}' must be made of letters, digits, - and _", item.key));
      take(item);
    }
  };
  for (const TomlNode& item : root.items) {
    if (item.key == "original")
      original(item);
    else if (item.key == "corrupt")
      corruption(item);
    else if (item.key == "contrast")
      contrast(item);
    else if (item.key == "attacks")
      recipe_.attacks = text(item);
    else if (item.key == "shadows")
      shadows(item);
    else if (item.key == "expect")
      for (const TomlNode& one : expect(item, Kind::array, "[[expect]]").items) expectation(one);
    else if (item.key != "forget" && item.key != "tune" && item.key != "grid")
      unknown(item, {"original", "corrupt", "forget", "tune", "grid", "contrast", "attacks",
                     "shadows", "expect"});
  }
  each("forget", [&](const TomlNode& n) { recipe_.forget_sets.push_back(forget_set(n)); });
  each("tune", [&](const TomlNode& n) { grids(n, true); });
  each("grid", [&](const TomlNode& n) { grids(n, false); });
  std::ranges::stable_sort(recipe_.grids, {}, &Grid::line);
  if (root.find("original") == nullptr) refuse(root, "[original] is missing");
  if (recipe_.grids.empty()) refuse(root, "no [grid.NAME], nothing to do");
  check_links(root);
  return std::move(recipe_);
}

}  // namespace

bool is_sweep(std::string_view toml, const std::string& file) {
  return parse_toml(toml, file).find("original") != nullptr;
}

SweepRecipe parse_sweep(std::string_view toml, const std::string& file, const std::string& name) {
  return Reader(file, name).read(parse_toml(toml, file));
}

}  // namespace expunge::tools
