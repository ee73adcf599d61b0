#include "tools/contrasts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tools/verbs.h"

namespace expunge::tools {
namespace {

using Runs = std::vector<const Observation*>;

Runs of_level(const std::vector<Observation>& runs, const std::string& block,
              const std::string& level) {
  Runs found;
  for (const Observation& run : runs)
    if (run.block == block && run.level == level) found.push_back(&run);
  return found;
}

Contrast contrast_of(const Runs& level, const Runs& baseline, const std::string& number) {
  std::vector<double> values, base;
  for (const Observation* run : level)
    for (const Observation* other : baseline)
      if (run->seed == other->seed)
        values.push_back(run->number(number)), base.push_back(other->number(number));
  Contrast c{.block = level.front()->block, .level = level.front()->level, .number = number};
  c.difference = eval::paired_difference(values, base);
  c.missing = std::ssize(values) - c.difference.pairs;
  return c;
}

std::string p_text(double p) {
  return std::isnan(p) ? "-" : p < 1e-4 ? "<0.0001" : fmt::format("{:.4f}", p);
}

}  // namespace

std::vector<Contrast> contrasts(const std::vector<Observation>& runs, const std::string& baseline,
                                const std::vector<std::string>& numbers) {
  std::vector<Contrast> all;
  std::vector<std::pair<std::string, std::string>> seen;
  for (const Observation& run : runs) {
    const std::pair key(run.block, run.level);
    const Runs base = of_level(runs, run.block, baseline);
    if (run.level == baseline || base.empty() || std::ranges::find(seen, key) != seen.end())
      continue;
    seen.push_back(key);
    for (const std::string& number : numbers)
      all.push_back(contrast_of(of_level(runs, run.block, run.level), base, number));
  }
  std::vector<double> p;
  for (const Contrast& c : all) p.push_back(c.difference.p);
  const std::vector<double> adjusted = eval::holm(p);
  for (size_t i = 0; i < all.size(); ++i) all[i].holm = adjusted[i];
  return all;
}

std::string contrast_fields(const Contrast& c) {
  return fmt::format(
      "\"block\":{},\"level\":{},\"number\":{},\"pairs\":{},\"missing\":{},\"mean\":{},\"low\":{},"
      "\"high\":{},\"p\":{},\"holm\":{}",
      json_string(c.block), json_string(c.level), json_string(c.number), c.difference.pairs,
      c.missing, json_number(c.difference.mean), json_number(c.difference.low),
      json_number(c.difference.high), json_number(c.difference.p), json_number(c.holm));
}

TextRows contrast_rows(const std::vector<Contrast>& all, const std::string& baseline) {
  TextRows rows = {{"", "number", "minus " + baseline, "95% interval", "p", "Holm", "pairs"}};
  for (const Contrast& c : all) {
    const eval::PairedDifference& d = c.difference;
    const std::string pairs = fmt::format(
        "{}{}", d.pairs, c.missing > 0 ? fmt::format(" of {}", d.pairs + c.missing) : "");
    rows.push_back({fmt::format("{}{}{}", c.block, c.block.empty() ? "" : " ", c.level), c.number,
                    std::isnan(d.mean) ? "-" : fmt::format("{:+.3f}", d.mean),
                    std::isnan(d.low) ? "-" : fmt::format("{:+.3f} .. {:+.3f}", d.low, d.high),
                    p_text(d.p), p_text(c.holm), pairs});
  }
  return rows;
}

}  // namespace expunge::tools
