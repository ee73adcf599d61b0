#include "tools/run_path.h"

#include <doctest/doctest.h>

#include <cmath>

namespace expunge::tools {
namespace {

SweepRow row(double forget, double test) {
  SweepRow made{.run = "", .group = ""};
  made.numbers = {{"forget_acc", forget}, {"test_acc", test}};
  return made;
}

}  // namespace

TEST_CASE("a number between the runs on both sides of a forget accuracy, in the option's order") {
  const SweepRow least = row(0.95, 0.70), more = row(0.90, 0.66), most = row(0.60, 0.36);
  RunPath path;
  path.add(1e-3, most);
  path.add(1e-5, least);
  path.add(1e-4, more);
  CHECK(path.at(0.92, "test_acc") == doctest::Approx(0.676));  // 3/5 of the way
  CHECK(path.at(0.75, "test_acc") == doctest::Approx(0.51));
  CHECK(path.at(0.90, "test_acc") == doctest::Approx(0.66));
  CHECK(std::isnan(path.at(0.96, "test_acc")));  // it begins below
  CHECK(std::isnan(path.at(0.60, "test_acc")));  // and never falls through its end
  CHECK(std::isnan(path.at(0.75, "confidence_auc")));
}

TEST_CASE("a distance is that of the number between, not between distances") {
  const auto with_auc = [](double forget, double auc) {
    SweepRow made = row(forget, 0);
    made.numbers["confidence_auc"] = auc;
    made.numbers["auc_gap"] = std::abs(auc - 0.5);
    made.retrained = {{"confidence_auc", 0.5}};
    return made;
  };
  const SweepRow above = with_auc(0.9, 0.6), below = with_auc(0.7, 0.4);
  RunPath path;
  path.add(1, above);
  path.add(2, below);
  CHECK(path.at(0.8, "auc_gap") == doctest::Approx(0).epsilon(1e-9));
  CHECK(path.at(0.75, "auc_gap") == doctest::Approx(0.05));
}

TEST_CASE("a way that comes up again counts where it first falls; a run that failed is passed by") {
  const SweepRow high = row(0.9, 0.7), low = row(0.7, 0.5), again = row(0.9, 0.1),
                 end = row(0.6, 0), failed{.run = "", .group = ""};
  RunPath path;
  path.add(1, high);
  path.add(2, low);
  path.add(3, again);
  path.add(4, end);
  CHECK(path.at(0.8, "test_acc") == doctest::Approx(0.6));
  RunPath broken;
  broken.add(1, high);
  broken.add(2, failed);
  broken.add(3, low);
  CHECK(broken.at(0.8, "test_acc") == doctest::Approx(0.6));
  CHECK(std::isnan(RunPath().at(0.8, "test_acc")));
}

}  // namespace expunge::tools
