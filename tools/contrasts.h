#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eval/paired.h"
#include "tools/text_table.h"

namespace expunge::tools {

// A run in a paired comparison. Runs with the same block and seed differ in their level alone.
struct Observation {
  std::string block, level;  // "srl", "focus"
  std::string seed;
  std::function<double(const std::string&)> number;  // by its name, in the unit of tables
};

// A level against the baseline in one number.
struct Contrast {
  std::string block, level, number;
  eval::PairedDifference difference{};
  int64_t missing = 0;  // pairs of which a side was not measured, or never came there
  double holm = eval::kNotMeasured;
};

// Every level of every block against `baseline` there, in every number: one family, whose p are
// adjusted together. Blocks without the baseline give none.
std::vector<Contrast> contrasts(const std::vector<Observation>& runs, const std::string& baseline,
                                const std::vector<std::string>& numbers);

// Fields of a JSON object, without the braces.
std::string contrast_fields(const Contrast& contrast);
// A row a contrast: difference, 95 % interval, p, p after Holm, pairs.
TextRows contrast_rows(const std::vector<Contrast>& all, const std::string& baseline);

}  // namespace expunge::tools
