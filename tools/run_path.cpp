#include "tools/run_path.h"

#include <algorithm>
#include <cmath>

namespace expunge::tools {

void RunPath::add(double option, const SweepRow& row) {
  if (std::isnan(row.number("forget_acc"))) return;  // it failed
  runs_.emplace_back(option, &row);
  std::ranges::stable_sort(runs_, {}, &std::pair<double, const SweepRow*>::first);
}

double RunPath::at(double forget_acc, const std::string& number) const {
  for (size_t i = 1; i < runs_.size(); ++i) {
    const SweepRow &before = *runs_[i - 1].second, &after = *runs_[i].second;
    const double high = before.number("forget_acc"), low = after.number("forget_acc");
    if (!(high >= forget_acc && low < forget_acc)) continue;
    const double share = (high - forget_acc) / (high - low);
    return (1 - share) * before.number(number) + share * after.number(number);
  }
  return eval::kNotMeasured;
}

}  // namespace expunge::tools
