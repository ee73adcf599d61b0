#include "tools/run_path.h"

#include <algorithm>
#include <cmath>

#include "tools/run_numbers.h"

namespace expunge::tools {
namespace {

double signed_number(const SweepRow& row, const RunNumber& number) {
  if (number.distance_of.empty()) return row.number(number.name);
  const auto reference = row.retrained.find(number.distance_of);
  return reference == row.retrained.end() ? eval::kNotMeasured
                                          : row.number(number.distance_of) - reference->second;
}

}  // namespace

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
    const RunNumber& of = run_number(number);
    const double between =
        (1 - share) * signed_number(before, of) + share * signed_number(after, of);
    return of.distance_of.empty() ? between : std::abs(between);
  }
  return eval::kNotMeasured;
}

}  // namespace expunge::tools
