#include "data/split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "support/error.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

std::vector<int64_t> counts(const Dataset& set, const std::vector<int32_t>& positions) {
  std::vector<int64_t> out(set.classes.size());
  for (const int32_t p : positions) ++out[set.labels[static_cast<size_t>(p)]];
  return out;
}

std::set<int32_t> as_set(std::initializer_list<std::vector<int32_t>> lists) {
  std::set<int32_t> out;
  for (const auto& list : lists) out.insert(list.begin(), list.end());
  return out;
}

}  // namespace

TEST_CASE("split: train, validation and test are ascending, disjoint and cover everything") {
  const Dataset set = tiny_set(300, 50, 3);
  const Split split = make_split(set, {});
  CHECK(split.train.size() == 270);
  CHECK(split.val.size() == 30);
  CHECK(split.test.size() == 50);
  CHECK(split.test.front() == 300);
  CHECK(std::is_sorted(split.train.begin(), split.train.end()));
  CHECK(std::is_sorted(split.val.begin(), split.val.end()));
  CHECK(as_set({split.train, split.val, split.test}).size() == 350);
  CHECK(*std::max_element(split.val.begin(), split.val.end()) < 300);
}

TEST_CASE("split: validation takes int(fraction * n) of each class") {
  const Dataset set = tiny_set(100, 0, 3);  // 34, 33, 33
  CHECK(counts(set, make_split(set, {.val_fraction = 0.15}).val) == std::vector<int64_t>{5, 4, 4});
  CHECK(make_split(set, {.val_fraction = 0}).val.empty());
  CHECK(make_split(set, {.val_fraction = 0}).train.size() == 100);
}

TEST_CASE("split: a limit is shared out evenly, small classes give all they have") {
  Dataset set = tiny_set(60, 5, 3);
  for (size_t i = 0; i < 60; ++i) set.labels[i] = i < 4 ? 0 : 1 + i % 2;
  const Split split = make_split(set, {.val_fraction = 0.0, .limit = 31});
  CHECK(counts(set, split.train) == std::vector<int64_t>{4, 14, 13});
  const Split with_val = make_split(set, {.val_fraction = 0.5, .limit = 30});
  CHECK(counts(set, with_val.train) == std::vector<int64_t>{2, 7, 7});
  CHECK(counts(set, with_val.val) == std::vector<int64_t>{2, 6, 6});
  CHECK(with_val.test.size() == 5);
}

TEST_CASE("split: depends on the content and split seed, on nothing else") {
  const Dataset set = tiny_set(300, 50, 3);
  const Split split = make_split(set, {});
  Dataset renamed = set;
  renamed.name = "other";
  CHECK(make_split(renamed, {}).val == split.val);
  CHECK(make_split(set, {.split_seed = 1}).val != split.val);
  CHECK(counts(set, make_split(set, {.split_seed = 1}).val) == counts(set, split.val));
  Dataset changed = set;
  changed.pixels[0] ^= 1;
  summarize(changed);
  CHECK(make_split(changed, {}).val != split.val);
}

TEST_CASE("split: impossible fractions and limits are usage errors") {
  const Dataset set = tiny_set(30, 5, 3);
  for (const double fraction : {-0.1, 1.0, 2.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK(error_code([&] { make_split(set, {.val_fraction = fraction}); }) == ExitCode::usage);
  for (const int64_t limit : {-1, 31})
    CHECK(error_code([&] { make_split(set, {.limit = limit}); }) == ExitCode::usage);
}

TEST_CASE("without: leaves what is not removed") {
  CHECK(without({1, 2, 3, 5, 8}, {2, 8}) == std::vector<int32_t>{1, 3, 5});
  CHECK(without({1, 2}, {}) == std::vector<int32_t>{1, 2});
}
