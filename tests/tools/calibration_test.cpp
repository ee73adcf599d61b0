#include "tools/calibration.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/parallel.h"
#include "support/error.h"
#include "tools/recipe.h"
#include "tools/svg.h"

namespace expunge::tools {
namespace {

CalibrationConfig small(const std::string& estimator) {
  return {.draws = {.redraws = 20000, .ema_steps = 20}, .estimators = {estimator}};
}

// P(X < k) by the sum of all terms.
double below(int64_t n, double p, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    double term = 1;
    for (int64_t j = 0; j < i; ++j) term *= static_cast<double>(n - j) / static_cast<double>(i - j);
    sum += term * std::pow(p, double(i)) * std::pow(1 - p, double(n - i));
  }
  return sum;
}

}  // namespace

TEST_CASE("binomial band: as wide as the risk allows, on both sides") {
  for (const double p : {0.05, 0.3, 0.5, 0.9}) {
    const Interval band = binomial_band(40, p, 0.02);
    const auto low = std::llround(band.low * 40), high = std::llround(band.high * 40);
    CHECK(below(40, p, low) <= 0.01);
    CHECK(below(40, p, low + 1) > 0.01);
    CHECK(1 - below(40, p, high + 1) <= 0.01);
    CHECK(1 - below(40, p, high) > 0.01);
  }
  CHECK(binomial_band(0, 0.3, 0.1).high == 1);
  CHECK(binomial_band(200000, 0.05, 1e-4).low == doctest::Approx(0.0481).epsilon(1e-3));
}

TEST_CASE("Kolmogorov-Smirnov: an even grid is uniform, a bent one is not") {
  std::vector<float> even, bent;
  for (int i = 0; i < 1000; ++i) {
    const float u = (static_cast<float>(i) + 0.5f) / 1000;
    even.push_back(u), bent.push_back(u * u);
  }
  CHECK(uniform_p_value(even) == 1);
  CHECK(uniform_p_value(bent) < 1e-6);
  // distance 1.36 / sqrt(n): the 5 % point of the asymptotic law
  std::vector<float> shifted;
  for (int i = 0; i < 10000; ++i)
    shifted.push_back((static_cast<float>(i) + 0.5f) / 10000 * (1 - 0.01358f));
  CHECK(uniform_p_value(shifted) == doctest::Approx(0.05).epsilon(0.1));
}

TEST_CASE("calibration: the standard errors are right, and a wrong one is found") {
  for (const char* estimator : {"welford:8", "microbatch:8", "persample"}) {
    const Calibration c = calibrate(small(estimator))[0];
    CHECK(excess(c.pit) == 0);
    CHECK(c.pit_p_value > 0.001);
    CHECK(excess(c.wide) == 0);
    CHECK(c.near.seen < c.near.expected - 0.15);
    CHECK(calibration_error(c.shrunk) < 0.3 * calibration_error(c.narrow));
  }
  // Student's distribution taken for normal: 3 degrees of freedom are far from that.
  const Calibration wrong = calibrate(small("welford:4,cdf=normal"))[0];
  CHECK(excess(wrong.pit) > 0.01);
  CHECK(wrong.pit_p_value < 1e-6);
}

TEST_CASE("calibration: the same draws for any thread count, others for another seed") {
  const auto first_bin = [](uint64_t seed, int threads) {
    set_thread_count(threads);
    const Redraws redraws({.seed = seed, .redraws = 40000}, "persample", Law::wide);
    set_thread_count(0);
    return redraws.phi(true);
  };
  CHECK(first_bin(1, 1) == first_bin(1, 2));
  CHECK(first_bin(1, 1) != first_bin(2, 1));
  CHECK(test::error_code([] { Redraws({}, "paper", Law::wide); }) == ExitCode::usage);
}

TEST_CASE("verdicts: ema has a band of its own; a number outside its band fails") {
  Calibration c;
  c.estimator = "ema:0.9";
  c.pit = {Bin{.count = 10, .seen = 0.503, .band = {0.4, 0.5}}};
  const CalibrationBands bands{.pit_excess = 0, .pit_excess_ema = 0.004, .near_low = 0.1};
  const auto holds = [&](size_t i) { return verdicts({c}, bands)[i].holds(); };
  CHECK(excess(c.pit) == doctest::Approx(0.003));
  CHECK(holds(0));
  CHECK_FALSE(holds(3));  // near.seen = 0
  c.estimator = "welford:8";
  CHECK_FALSE(holds(0));
  CHECK(calibration_error({Bin{.count = 3, .expected = 0.5, .seen = 0.6},
                           Bin{.count = 1, .expected = 0.5, .seen = 0.1}}) ==
        doctest::Approx(0.175));
}

TEST_CASE("svg: words are escaped, what leaves the axes stays inside") {
  Plot plot("a < b & c", {"x"}, {"y"});
  plot.dots({{-5, 0.5}, {0.5, 7}}, kBlue).note("n", kBlue);
  const std::string svg = svg_figure("t", {{plot}}, 1);
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(test::contains(svg, "a &lt; b &amp; c"));
  CHECK(test::contains(svg, "cx=\"56.0\""));
  CHECK(test::contains(svg, "cy=\"34.0\""));
}

TEST_CASE("recipes: each begins with a line that says what it is") {
  CHECK_FALSE(shipped_recipes().empty());
  for (const ShippedRecipe& r : shipped_recipes()) CHECK(std::string(r.toml).starts_with("# "));
}

}  // namespace expunge::tools
