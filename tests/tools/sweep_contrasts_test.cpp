#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>

#include "tools/sweep_report.h"

namespace expunge::tools {
namespace {

constexpr const char* kRecipe = R"(
[original]
model = "mlp"
[forget.some]
forget = "random:6"
[grid.rates]
forget-set = "some"
seeds = [0, 1, 2]
method = ["srl"]
gate = ["none", "focus"]
lr = [1e-4, 1e-3]
[contrast]
axis = "gate"
baseline = "none"
along = "lr"
at = [0.8, 0.7]
numbers = ["test_acc", "entropy_auc_gap"]
primary-grid = "rates"
primary-value = "focus"
primary-numbers = ["test_acc"]
)";

// Both gates go from 90 % to `end` of forget accuracy, and entropy's AUC from 60 to 40 %.
void add(std::vector<SweepRow>& rows, const char* gate, int64_t seed, double end, double test) {
  for (const bool last : {true, false}) {  // in no order
    SweepRow row{.run = fmt::format("{}{}{}", gate, seed, last),
                 .group = fmt::format("rates/srl {}", gate)};
    row.labels = {{"method", "srl"}, {"gate", gate}, {"lr", last ? "0.001" : "0.0001"}};
    row.seed = seed;
    row.numbers = {{"forget_acc", last ? end : 0.9},
                   {"test_acc", last ? test : 0.7},
                   {"entropy_auc", last ? 0.4 : 0.6},
                   {"entropy_auc_gap", 0.1}};
    row.retrained = {{"entropy_auc", 0.5}};
    rows.push_back(row);
  }
}

}  // namespace

TEST_CASE("contrasts along an axis: at each level, between the runs, paired by seed") {
  const SweepRecipe recipe = parse_sweep(kRecipe, "here.toml", "here");
  std::vector<SweepRow> rows;
  for (const int64_t seed : {0, 1, 2}) {
    const double own = 0.01 * static_cast<double>(seed);
    add(rows, "none", seed, 0.7, 0.5 + own);  // at 80 %: half way, 0.6 + own / 2
    // seed 2 does not come down to 80 %
    add(rows, "focus", seed, seed == 2 ? 0.85 : 0.6, 0.4 + own);  // a third: 0.6 + own / 3
  }
  const std::vector<ContrastFamily> families = contrast_families(recipe, rows);
  REQUIRE(families.size() == 3);
  CHECK(families[0].title == "primary, fixed beforehand: rates at a forget accuracy of 80 %");
  CHECK(families[2].title == "rates at a forget accuracy of 70 %");
  REQUIRE(families[0].contrasts.size() == 1);
  REQUIRE(families[1].contrasts.size() == 2);
  const Contrast& test = families[1].contrasts[0];
  CHECK(test.level == "focus");
  CHECK(test.block == "srl");
  CHECK(test.difference.pairs == 2);
  CHECK(test.missing == 1);
  // seed 0: 0; seed 1: 1/3 - 1/2 points
  CHECK(test.difference.mean == doctest::Approx(-1.0 / 12));
  CHECK(families[0].contrasts[0].difference.mean == test.difference.mean);
  // the AUC itself is 50 % half way and 53.3 % after a third
  const Contrast& entropy = families[1].contrasts[1];
  CHECK(entropy.difference.mean == doctest::Approx(10.0 / 3));
  const TextRows& means = families[1].means;
  REQUIRE(means.size() == 3);
  CHECK(means[0] == std::vector<std::string>{"run", "seeds", "test_acc", "entropy_auc_gap"});
  CHECK(means[1][0] == "srl none");
  CHECK(means[1][1] == "3");
  CHECK(means[1][2] == "60.50 ±0.50");
  CHECK(means[2][1] == "2 of 3");
  // nobody without a gate falls through 70 %, where its runs end
  CHECK(std::ranges::all_of(families[2].contrasts,
                            [](const Contrast& c) { return c.difference.pairs == 0; }));
}

}  // namespace expunge::tools
