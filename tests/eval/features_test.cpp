#include "eval/features.h"

#include <doctest/doctest.h>

#include <cmath>

#include "support/error.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

constexpr double kDouble = 1e-13;

// (1/2, 1/4, 1/4), label 1
Outputs halves() {
  Outputs out{.classes = 3};
  out.add(std::vector<float>{std::log(2.0f), 0, 0}, 1, 0);
  return out;
}

}  // namespace

TEST_CASE("features: the five of a sample, by hand") {
  const Outputs out = halves();
  const double half = std::exp(double{std::log(2.0f)}) / (2 + std::exp(double{std::log(2.0f)}));
  CHECK(half == doctest::Approx(0.5));
  const auto one = [&](Feature f) { return features(out, f).values.at(0); };
  constexpr double kLog2 = 1e-7;  // log 2 is a float here
  CHECK(one(Feature::correctness) == 0);
  CHECK(one(Feature::confidence) == doctest::Approx(0.25).epsilon(kLog2));
  CHECK(one(Feature::entropy) == doctest::Approx(1.5 * std::log(2.0)).epsilon(kLog2));
  const double expected = -(0.75 * std::log(0.25) + 0.5 * std::log(0.5) + 0.25 * std::log(0.75));
  CHECK(one(Feature::modified_entropy) == doctest::Approx(expected).epsilon(kLog2));
  const Features p = features(out, Feature::probabilities);
  CHECK(p.width == 3);
  CHECK(p.samples() == 1);
  CHECK(p.row(0)[0] == doctest::Approx(half).epsilon(kDouble));
}

TEST_CASE("features: the published modified entropies differ from the correct one as documented") {
  Outputs out = halves();
  const double log2 = std::log(2.0), log34 = std::log(0.75);
  CHECK(modified_entropies(out, ModifiedEntropy::ufv)[0] ==
        doctest::Approx(-0.75 * log34 + 0.5 * log2 + 0.5 * log2).epsilon(1e-7));
  // Only label 1 occurs: its column alone is overwritten.
  const double alone = 0.75 * 2 * log2 + 0.5 * log2 + 0.25 * 2 * log2;
  CHECK(modified_entropies(out, ModifiedEntropy::optml)[0] == doctest::Approx(alone).epsilon(1e-7));
  // A second sample overwrites the column of its own label in the first one's row as well.
  out.add(std::vector<float>{0, 0, 0}, 2, 1);
  const double beside = 0.75 * 2 * log2 + 0.5 * log2 + 0.75 * 2 * log2;
  CHECK(modified_entropies(out, ModifiedEntropy::optml)[0] ==
        doctest::Approx(beside).epsilon(1e-7));
  CHECK(modified_entropies(out, ModifiedEntropy::ufv)[0] ==
        doctest::Approx(-0.75 * log34 + log2).epsilon(1e-7));
}

TEST_CASE("features: a certain model gives finite modified entropies") {
  Outputs out{.classes = 2};
  out.add(std::vector<float>{1000, 0}, 0, 0);
  out.add(std::vector<float>{1000, 0}, 1, 1);
  const double floor = std::log(1e-30);
  const auto correct = modified_entropies(out, ModifiedEntropy::correct);
  CHECK(correct[0] == 0);
  CHECK(correct[1] == doctest::Approx(-2 * floor).epsilon(kDouble));
  CHECK(modified_entropies(out, ModifiedEntropy::ufv)[1] == 0);
  CHECK(modified_entropies(out, ModifiedEntropy::optml)[1] ==
        doctest::Approx(-floor).epsilon(kDouble));
  CHECK(entropies(out)[0] == 0);
}

TEST_CASE("features: another modified entropy than the three is a usage error that names them") {
  CHECK(parse_modified_entropy("ufv") == ModifiedEntropy::ufv);
  CHECK(error_code([] { parse_modified_entropy("song"); }) == ExitCode::usage);
  CHECK(contains(error_text([] { parse_modified_entropy("song"); }), "correct, ufv or optml"));
}
