#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A sweep's file (docs/sweeps.md): what to train, what to forget, which unlearning runs to make.
namespace expunge::tools {

using OptionValues = std::vector<std::pair<std::string, std::string>>;  // name and value, in order

// [forget.NAME]: a forget set, and how many networks are retrained without it.
struct ForgetSet {
  std::string name;
  OptionValues options{};  // forget, forget-seed
  int64_t references = 1;  // with seeds 0, 1, ...
};

// A key with an array: its values are tried one after the other. A value that is a table sets
// several options at once.
struct GridAxis {
  struct Value {
    std::string label;
    OptionValues options;
  };
  std::string name;
  std::vector<Value> values;
  bool is_numbers() const;
};

// [grid.NAME]: every combination of the axes' values with every seed, on one forget set; a table
// with an array of them is several grids. [tune.NAME]: the same on one pilot seed, in order to
// choose values of the axes in `chosen` for each combination of the others.
struct Grid {
  std::string name;
  std::string forget_set{};
  std::vector<int64_t> seeds{};
  OptionValues fixed{};  // options of all its runs
  std::vector<GridAxis> axes{};
  std::vector<std::string> chosen{};  // of a [tune]
  std::string tuned_by{};             // a [tune], whose combinations and choices a [grid] takes
  int64_t line = 0;                   // in the file
  bool tunes() const { return !chosen.empty(); }
  std::string title() const { return tunes() ? "tune-" + name : name; }
};

// [contrast]: each value of `axis` against `baseline`, in `numbers`, paired by seed. The primary
// ones, fixed beforehand, make a family of their own for Holm's adjustment. In grids with the axis
// `along` runs are compared at the same forget accuracy, at each of `levels` (shares; the first is
// the primary one's), between the runs along that axis (tools/run_path.h).
struct ContrastPlan {
  std::string axis{}, baseline{}, along{};
  std::vector<double> levels{};
  std::vector<std::string> numbers{};
  std::string primary_grid{}, primary_value{};
  std::vector<std::string> primary_numbers{}, primary_methods{};
};

// [[expect]]: what the mean of a number over a group's seeds should be.
struct Expectation {
  std::string group, number;  // "random/srl focus", "forget_acc"
  double value = 0, tolerance = 0;
};

struct SweepRecipe {
  std::string name;
  OptionValues original{};  // [original]: options of `expunge train`
  // Arrays in [original]: every combination is a kind of network of its own in all grids.
  std::vector<GridAxis> original_axes{};
  OptionValues corruption{};  // [corrupt]: options of `expunge data corrupt` on the data, at first
  std::string attacks = "loss,threshold";  // of compare
  int64_t shadows = 0;                     // of U-LiRA on every run of a grid; 0: without it
  std::vector<ForgetSet> forget_sets{};
  std::vector<Grid> grids{};  // as in the file
  ContrastPlan contrast{};
  std::vector<Expectation> expectations{};

  void set_data(const std::string& file);  // in place of [original]'s
  std::string data() const;                // [original]'s
  // The first seed, one retrained network, no shadows: for --smoke.
  void one_run_a_cell();
  const ForgetSet& forget_set(const std::string& of) const;
  const Grid* tune(const std::string& of) const;  // null where there is none
};

// Whether a TOML text is a sweep: it has a table [original].
bool is_sweep(std::string_view toml, const std::string& file);
// Unknown keys, options that the verb does not have or not with this value, grids of sets that are
// not there: ExitCode::usage with file and line.
SweepRecipe parse_sweep(std::string_view toml, const std::string& file, const std::string& name);

}  // namespace expunge::tools
