#include "tools/sweep_recipe.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>

#include "core/check.h"
#include "core/nearest.h"
#include "tools/options.h"
#include "tools/run_numbers.h"
#include "tools/toml_file.h"

namespace expunge::tools {
namespace {

using Kind = TomlNode::Kind;

// What every run gets from the sweep itself.
constexpr const char* kOwn[] = {"seed",        "out",    "from",    "forget",
                                "forget-seed", "resume", "config",  "dry-run",
                                "progress",    "json",   "threads", "reference"};

bool is_folder_name(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
}

// Reads one file; every complaint names it and a line.
class Reader {
 public:
  Reader(std::string file, const std::string& name) : file_(std::move(file)), recipe_{name} {}
  SweepRecipe read(const TomlNode& root);

 private:
  [[noreturn]] void refuse(const TomlNode& node, const std::string& what) const {
    fail(ExitCode::usage, "{}: line {}: {}", file_, node.line, what);
  }
  [[noreturn]] void unknown(const TomlNode& node, std::vector<std::string> known) const {
    refuse(node, fmt::format("'{}' is not known{}", node.key, nearest_hint(node.key, known)));
  }
  const TomlNode& expect(const TomlNode& node, Kind kind, const char* words) const {
    if (node.kind != kind) refuse(node, fmt::format("{} must be {}", node.key, words));
    return node;
  }
  std::string text(const TomlNode& node) const {
    return expect(node, Kind::scalar, "text or a number").text;
  }
  template <class T>
  T number(const TomlNode& node) const {
    T value{};
    const std::string s = text(node);
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
    if (error != std::errc() || end != s.data() + s.size() || value < 0)
      refuse(node, fmt::format("{} is '{}', expected a number", node.key, s));
    return value;
  }
  std::vector<std::string> texts(const TomlNode& node) const {
    std::vector<std::string> all;
    for (const TomlNode& item : expect(node, Kind::array, "an array").items)
      all.push_back(text(item));
    return all;
  }

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
    Settings(verb).set(node.key, text(node), Source::file,
                       fmt::format("{}: line {}", file_, node.line));
  }
  OptionValues options(const char* verb, const TomlNode& table) const;
  ForgetSet forget_set(const TomlNode& node) const;
  GridAxis axis(const TomlNode& node) const;
  Grid grid(const TomlNode& node, bool tunes) const;
  void contrast(const TomlNode& node);
  void expectation(const TomlNode& node);
  void check_number(const TomlNode& node, const std::string& number) const;
  void check_links(const TomlNode& root) const;

  std::string file_;
  SweepRecipe recipe_;
};

OptionValues Reader::options(const char* verb, const TomlNode& table) const {
  OptionValues values;
  for (const TomlNode& node : expect(table, Kind::table, "a table").items) {
    check_option(verb, node);
    values.emplace_back(node.key, node.text);
  }
  return values;
}

ForgetSet Reader::forget_set(const TomlNode& node) const {
  ForgetSet set{.name = node.key};
  for (const TomlNode& item : expect(node, Kind::table, "a table").items) {
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
GridAxis Reader::axis(const TomlNode& node) const {
  GridAxis axis{.name = node.key, .values = {}};
  for (const TomlNode& item : node.items) {
    if (item.kind != Kind::table) {
      TomlNode named = item;
      named.key = node.key;
      check_option("unlearn", named);
      axis.values.push_back({named.text, {{node.key, named.text}}});
      continue;
    }
    GridAxis::Value value{.label = "", .options = options("unlearn", item)};
    for (const auto& [key, of] : value.options)
      value.label += (value.label.empty() ? "" : "+") + of;
    axis.values.push_back(std::move(value));
  }
  if (axis.values.empty()) refuse(node, fmt::format("{} is empty", node.key));
  return axis;
}

Grid Reader::grid(const TomlNode& node, bool tunes) const {
  Grid grid{.name = node.key, .line = node.line};
  for (const TomlNode& item : expect(node, Kind::table, "a table").items) {
    if (item.key == "forget-set")
      grid.forget_set = text(item);
    else if (item.key == "tuned-by" && !tunes)
      grid.tuned_by = text(item);
    else if (item.key == "choose" && tunes)
      grid.chosen = texts(item);
    else if (item.key == "seed" && tunes)
      grid.seeds = {number<int64_t>(item)};
    else if (item.key == "seeds" && !tunes)
      for (const TomlNode& seed : expect(item, Kind::array, "an array of numbers").items)
        grid.seeds.push_back(number<int64_t>(seed));
    else if (item.kind == Kind::array)
      grid.axes.push_back(axis(item));
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

void Reader::check_number(const TomlNode& node, const std::string& number) const {
  std::vector<std::string> known;
  for (const RunNumber& n : run_numbers()) known.push_back(n.name);
  if (std::ranges::find(known, number) == known.end())
    refuse(node,
           fmt::format("{}: '{}' is not known{}", node.key, number, nearest_hint(number, known)));
}

void Reader::contrast(const TomlNode& table) {
  ContrastPlan& plan = recipe_.contrast;
  for (const TomlNode& item : expect(table, Kind::table, "a table").items) {
    if (item.key == "axis")
      plan.axis = text(item);
    else if (item.key == "baseline")
      plan.baseline = text(item);
    else if (item.key == "numbers")
      plan.numbers = numbers(item);
    else if (item.key == "primary-grid")
      plan.primary_grid = text(item);
    else if (item.key == "primary-value")
      plan.primary_value = text(item);
    else if (item.key == "primary-numbers")
      plan.primary_numbers = numbers(item);
    else if (item.key == "primary-methods")
      plan.primary_methods = texts(item);
    else
      unknown(item, {"axis", "baseline", "numbers", "primary-grid", "primary-value",
                     "primary-numbers", "primary-methods"});
  }
}

void Reader::expectation(const TomlNode& table) {
  Expectation e{};
  for (const TomlNode& item : expect(table, Kind::table, "a table").items) {
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

// Names that one table has of another.
void Reader::check_links(const TomlNode& root) const {
  const auto names = [](const auto& all) {
    std::vector<std::string> found;
    for (const auto& one : all) found.push_back(one.name);
    return found;
  };
  for (const Grid& g : recipe_.grids) {
    const TomlNode& node = *root.find(g.tunes() ? "tune" : "grid")->find(g.name);
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
}

SweepRecipe Reader::read(const TomlNode& root) {
  const auto each = [&](const char* name, const std::function<void(const TomlNode&)>& take) {
    if (const TomlNode* table = root.find(name))
      for (const TomlNode& item : expect(*table, Kind::table, "a table").items) {
        if (!is_folder_name(item.key))
          refuse(item, fmt::format("'{}' must be made of letters, digits, - and _", item.key));
        take(item);
      }
  };
  for (const TomlNode& item : root.items) {
    if (item.key == "original")
      recipe_.original = options("train", item);
    else if (item.key == "contrast")
      contrast(item);
    else if (item.key == "attacks")
      recipe_.attacks = text(item);
    else if (item.key == "expect")
      for (const TomlNode& one : expect(item, Kind::array, "[[expect]]").items) expectation(one);
    else if (item.key != "forget" && item.key != "tune" && item.key != "grid")
      unknown(item, {"original", "forget", "tune", "grid", "contrast", "attacks", "expect"});
  }
  each("forget", [&](const TomlNode& n) { recipe_.forget_sets.push_back(forget_set(n)); });
  each("tune", [&](const TomlNode& n) { recipe_.grids.push_back(grid(n, true)); });
  each("grid", [&](const TomlNode& n) { recipe_.grids.push_back(grid(n, false)); });
  std::ranges::stable_sort(recipe_.grids, {}, &Grid::line);
  if (root.find("original") == nullptr) refuse(root, "[original] is missing");
  if (recipe_.grids.empty()) refuse(root, "no [grid.NAME], nothing to do");
  check_links(root);
  return std::move(recipe_);
}

}  // namespace

void SweepRecipe::set_data(const std::string& file) {
  std::erase_if(original, [](const auto& option) { return option.first == "data"; });
  original.emplace_back("data", file);
}

const ForgetSet& SweepRecipe::forget_set(const std::string& of) const {
  return *std::ranges::find(forget_sets, of, &ForgetSet::name);
}

const Grid* SweepRecipe::tune(const std::string& of) const {
  const auto it =
      std::ranges::find_if(grids, [&](const Grid& g) { return g.tunes() && g.name == of; });
  return it == grids.end() ? nullptr : &*it;
}

bool is_sweep(std::string_view toml, const std::string& file) {
  return parse_toml(toml, file).find("original") != nullptr;
}

SweepRecipe parse_sweep(std::string_view toml, const std::string& file, const std::string& name) {
  return Reader(file, name).read(parse_toml(toml, file));
}

}  // namespace expunge::tools
