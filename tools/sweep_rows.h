#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tools/sweep_recipe.h"
#include "tools/trajectory.h"

namespace expunge::tools {

// A run of a sweep that is over: a line of rows.jsonl. All that tables need is in it, so that the
// run's folder may go.
struct SweepRow {
  std::string run;                              // "random/srl_focus-0"
  std::string group;                            // "random/srl focus": the same but for the seed
  std::string arguments{};                      // what the run was called with, paths left out
  std::map<std::string, std::string> labels{};  // of its axes: {"gate", "focus"}
  int64_t seed = 0;
  int exit_code = 0;      // of a run that failed: 6
  std::string message{};  // and why
  double seconds = 0;
  std::map<std::string, double> numbers{};    // of tools/run_numbers.h, those measured
  std::map<std::string, double> retrained{};  // the same, means over the retrained runs
  std::vector<Waypoint> trajectory{};

  std::string grid() const { return group.substr(0, group.find('/')); }  // its title
  double number(const std::string& name) const;  // NaN where it was not measured
};

// Rows in the order in which runs ended; a last line that was cut off does not count. A line that
// is not a row: ExitCode::input.
std::vector<SweepRow> read_rows(const std::filesystem::path& file);
// Appends one, on the disk when this returns.
void append_row(const std::filesystem::path& file, const SweepRow& row);
std::string row_json(const SweepRow& row);

// What `expunge compare --json` found out about one of its runs, into the row.
void take_comparison(const std::string& json, const std::filesystem::path& run, SweepRow& row);
// What `expunge eval --attacks ulira --json` found out about it.
void take_ulira(const std::string& json, const std::filesystem::path& run, SweepRow& row);

}  // namespace expunge::tools
