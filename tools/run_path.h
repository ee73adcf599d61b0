#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/sweep_rows.h"

namespace expunge::tools {

// Runs that differ in one option's number alone, the learning rate say, by rising number: a way
// from a network that has hardly forgotten to one that has forgotten more than it should. Runs of
// several such ways can be compared where they have forgotten alike, though none ended there.
class RunPath {
 public:
  void add(double option, const SweepRow& row);
  // A number (tools/run_numbers.h) where the forget accuracy first falls through `forget_acc`,
  // linear between the runs on both sides; NaN where it does not, or was not measured. Distances
  // are taken of the number between: on the two sides it may lie above and below.
  double at(double forget_acc, const std::string& number) const;

 private:
  std::vector<std::pair<double, const SweepRow*>> runs_;
};

}  // namespace expunge::tools
