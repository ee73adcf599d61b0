#include "tools/contrasts.h"

#include <doctest/doctest.h>

#include <cmath>

namespace expunge::tools {
namespace {

Observation run(const char* block, const char* level, const char* seed, double acc,
                double matched = NAN) {
  return {block, level, seed,
          [=](const std::string& name) { return name == "matched" ? matched : acc; }};
}

TEST_CASE("contrasts pair by seed, whatever the order of the runs") {
  const std::vector<Contrast> all =
      contrasts({run("srl", "focus", "1", 5), run("srl", "none", "0", 1),
                 run("srl", "none", "1", 2), run("srl", "focus", "0", 2)},
                "none", {"acc"});
  REQUIRE(all.size() == 1);
  CHECK(all[0].level == "focus");
  CHECK(all[0].difference.pairs == 2);
  CHECK(all[0].difference.mean == doctest::Approx(2));  // 3 and 1
  CHECK(all[0].missing == 0);
}

TEST_CASE("a run without a partner makes no pair, a value that never came is counted as missing") {
  const std::vector<Contrast> all =
      contrasts({run("srl", "none", "0", 1, 10), run("srl", "none", "1", 1, 10),
                 run("srl", "focus", "0", 2, 11), run("srl", "focus", "1", 4),
                 run("srl", "focus", "2", 90, 99)},
                "none", {"acc", "matched"});
  REQUIRE(all.size() == 2);
  CHECK(all[0].difference.pairs == 2);
  CHECK(all[0].difference.mean == doctest::Approx(2));
  CHECK(all[1].difference.pairs == 1);
  CHECK(all[1].missing == 1);
  CHECK(all[1].difference.mean == doctest::Approx(1));
  CHECK(std::isnan(all[1].difference.p));  // one pair has no spread
  const TextRows rows = contrast_rows(all, "none");
  CHECK(rows[2].back() == "1 of 2");
}

TEST_CASE("levels are compared within their block; blocks without the baseline give nothing") {
  const std::vector<Contrast> all =
      contrasts({run("srl", "none", "0", 1), run("srl", "opt", "0", 4), run("ft", "opt", "0", 9),
                 run("ngplus", "none", "0", 3), run("ngplus", "opt", "0", 5)},
                "none", {"acc"});
  REQUIRE(all.size() == 2);
  CHECK(all[0].block == "srl");
  CHECK(all[0].difference.mean == doctest::Approx(3));
  CHECK(all[1].block == "ngplus");
  CHECK(all[1].difference.mean == doctest::Approx(2));
}

TEST_CASE("p of a family are adjusted together") {
  std::vector<Observation> runs;
  for (int seed = 0; seed < 6; ++seed) {
    const std::string s = std::to_string(seed);
    const double noise = seed % 2 == 0 ? 0.1 : -0.1;
    runs.push_back(run("", "none", s.c_str(), 0));
    runs.push_back(run("", "a", s.c_str(), 1 + noise));
    runs.push_back(run("", "b", s.c_str(), noise));
  }
  const std::vector<Contrast> all = contrasts(runs, "none", {"acc"});
  REQUIRE(all.size() == 2);
  CHECK(all[0].difference.p < 1e-4);
  CHECK(all[0].holm == doctest::Approx(2 * all[0].difference.p));
  CHECK(all[1].holm == doctest::Approx(all[1].difference.p));  // the largest stays
}

}  // namespace
}  // namespace expunge::tools
