#include "data/corrupt.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/split.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

std::vector<int64_t> changed_labels(const Dataset& before, const Dataset& after) {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < before.labels.size(); ++i)
    if (before.labels[i] != after.labels[i]) positions.push_back(static_cast<int64_t>(i));
  return positions;
}

bool records(const std::vector<SampleId>& list, const SampleId& id) {
  return std::binary_search(list.begin(), list.end(), id);
}

}  // namespace

TEST_CASE("mislabel: this share of the training part, recorded, and nothing else is touched") {
  const Dataset clean = tiny_set(200, 50, 4);
  Dataset set = clean;
  mislabel(set, 0.1, 0);
  const std::vector<int64_t> changed = changed_labels(clean, set);
  CHECK(changed.size() == 20);
  CHECK(changed.back() < clean.train_count);
  CHECK(set.mislabeled.size() == 20);
  CHECK(std::is_sorted(set.mislabeled.begin(), set.mislabeled.end()));
  for (const int64_t p : changed) {
    CHECK(records(set.mislabeled, set.ids[static_cast<size_t>(p)]));
    CHECK(set.labels[static_cast<size_t>(p)] < 4);
  }
  CHECK(set.pixels == clean.pixels);
  CHECK(set.ids == clean.ids);
  CHECK(set.poisoned.empty());
  CHECK(set.digest != clean.digest);
}

TEST_CASE("mislabel: the seed and the content decide") {
  const Dataset clean = tiny_set(200, 0, 4);
  Dataset a = clean, b = clean, c = clean;
  mislabel(a, 0.1, 3), mislabel(b, 0.1, 3), mislabel(c, 0.1, 4);
  CHECK(a.digest == b.digest);
  CHECK(a.mislabeled == b.mislabeled);
  CHECK(a.mislabeled != c.mislabeled);
}

TEST_CASE("mislabel: wrong labels are uniform over the others") {
  const Dataset clean = tiny_set(6000, 0, 4, 1);
  Dataset set = clean;
  ids_from_pixels(set);
  for (size_t i = 0; i < set.ids.size(); ++i) set.ids[i].bytes[15] = static_cast<uint8_t>(i);
  for (size_t i = 0; i < set.ids.size(); ++i) set.ids[i].bytes[14] = static_cast<uint8_t>(i >> 8);
  mislabel(set, 0.5, 0);
  double counts[4] = {};
  for (const int64_t p : changed_labels(clean, set)) {
    const auto at = static_cast<size_t>(p);
    ++counts[(set.labels[at] - clean.labels[at] + 4) % 4];
  }
  CHECK(counts[0] == 0);
  // 3,000 draws, three outcomes: standard deviation 25.8; five of them
  for (int shift = 1; shift < 4; ++shift) CHECK(std::abs(counts[shift] - 1000) < 129);
}

TEST_CASE("mislabel: copies of an image go together") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Dataset clean = tiny_set(100, 0, 4);
    copy_sample(clean, 3, 40);
    Dataset set = clean;
    mislabel(set, 0.4, seed);
    CHECK((set.labels[3] != clean.labels[3]) == (set.labels[40] != clean.labels[40]));
    const auto n = changed_labels(clean, set).size();
    CHECK((n == 40 || n == 41));
  }
}

TEST_CASE("poison: a black square near the lower right corner, the target's label, a new id") {
  const Dataset clean = tiny_set(200, 50, 4, 8);
  Dataset set = clean;
  const Trigger trigger{.target = 2, .side = 3, .margin = 1};
  poison(set, 0.1, trigger, 0);
  CHECK(set.trigger == trigger);
  CHECK(set.poisoned.size() == 20);
  int64_t poisoned = 0;
  for (int64_t i = 0; i < set.count(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (!records(set.poisoned, set.ids[at])) {
      CHECK(std::equal(set.image(i), set.image(i) + set.image_bytes(), clean.image(i)));
      CHECK(set.labels[at] == clean.labels[at]);
      CHECK(set.ids[at] == clean.ids[at]);
      continue;
    }
    ++poisoned;
    CHECK(i < set.train_count);
    CHECK(clean.labels[at] != 2);
    CHECK(set.labels[at] == 2);
    CHECK(set.ids[at] == id_of(set.image(i), static_cast<size_t>(set.image_bytes())));
    for (int64_t y = 0; y < 8; ++y)
      for (int64_t x = 0; x < 8; ++x)
        for (int64_t c = 0; c < 3; ++c) {
          const int64_t p = (y * 8 + x) * 3 + c;
          const bool inside = y >= 4 && y < 7 && x >= 4 && x < 7;
          CHECK(set.image(i)[p] == (inside ? 0 : clean.image(i)[p]));
        }
  }
  CHECK(poisoned == 20);
}

TEST_CASE("poison: ids over image files stay") {
  Dataset set = tiny_set(50, 0, 2, 8);
  set.id_source = IdSource::file;
  summarize(set);
  const std::vector<SampleId> ids = set.ids;
  poison(set, 0.2, {.target = 0}, 0);
  CHECK(set.ids == ids);
  CHECK(fault_of_record(set).empty());
}

TEST_CASE("triggered test: test samples of other classes, with the trigger, labelled the target") {
  Dataset set = tiny_set(100, 40, 4, 8);
  std::vector<int32_t> test;
  for (int32_t i = 100; i < 140; ++i) test.push_back(i);
  CHECK(triggered_test(set, test).count() == 0);
  const Dataset clean = set;
  poison(set, 0.1, {.target = 1, .side = 2, .margin = 0}, 0);
  const Dataset triggered = triggered_test(set, test);
  CHECK(triggered.count() == 30);
  CHECK(triggered.mean == set.mean);
  int64_t at = 0;
  for (int32_t i : test) {
    if (clean.labels[static_cast<size_t>(i)] == 1) continue;
    CHECK(triggered.labels[static_cast<size_t>(at)] == 1);
    CHECK(std::equal(triggered.image(at), triggered.image(at) + 6 * 24, clean.image(i)));
    CHECK(triggered.image(at)[(7 * 8 + 7) * 3] == 0);
    CHECK(triggered.image(at)[(6 * 8 + 5) * 3] == clean.image(i)[(6 * 8 + 5) * 3]);
    ++at;
  }
}

TEST_CASE("corrupt: both, one after the other, hit different samples") {
  Dataset set = tiny_set(100, 0, 4, 8);
  mislabel(set, 0.4, 0);
  poison(set, 0.3, {.target = 1}, 0);
  CHECK(fault_of_record(set).empty());
  std::vector<SampleId> both;
  std::set_intersection(set.mislabeled.begin(), set.mislabeled.end(), set.poisoned.begin(),
                        set.poisoned.end(), std::back_inserter(both));
  CHECK(both.empty());
}

TEST_CASE("corrupt: what cannot be done is refused") {
  const Dataset clean = tiny_set(100, 10, 4, 8);
  const auto refused = [&](auto action, ExitCode code, const char* why) {
    Dataset set = clean;
    CHECK(error_code([&] { action(set); }) == code);
    set = clean;
    const std::string text = error_text([&] { action(set); });
    CHECK_MESSAGE(contains(text, why), text);
  };
  for (const double share : {0.0, 1.0, -0.1, std::nan("")})
    refused([&](Dataset& s) { mislabel(s, share, 0); }, ExitCode::usage, "above 0 and below 1");
  refused([](Dataset& s) { mislabel(s, 0.004, 0); }, ExitCode::input, "0 of 100");
  refused([](Dataset& s) { poison(s, 0.8, {}, 0); }, ExitCode::input, "there are 75");
  refused([](Dataset& s) { poison(s, 0.1, {.target = 4}, 0); }, ExitCode::usage, "class 4");
  refused([](Dataset& s) { poison(s, 0.1, {.side = 7, .margin = 2}, 0); }, ExitCode::usage,
          "outside 8x8");
  refused([](Dataset& s) { mislabel(s, 0.1, 0), mislabel(s, 0.1, 1); }, ExitCode::input,
          "10 samples are mislabeled already");
  refused([](Dataset& s) { poison(s, 0.1, {}, 0), poison(s, 0.1, {}, 1); }, ExitCode::input,
          "10 samples are poisoned already");
  Dataset one = tiny_set(10, 0, 1);
  CHECK(error_code([&] { mislabel(one, 0.1, 0); }) == ExitCode::input);
}

TEST_CASE("corrupt: a packed file keeps the record, and one that lies is refused") {
  TempDir dir;
  Dataset set = tiny_set(100, 10, 4, 8);
  mislabel(set, 0.1, 0);
  poison(set, 0.1, {.target = 3, .side = 2, .margin = 1}, 0);
  write_packed(dir / "p", set);
  for (const Dataset& again : {read_packed(dir / "p"), verify_packed(dir / "p")}) {
    CHECK(again.mislabeled == set.mislabeled);
    CHECK(again.poisoned == set.poisoned);
    CHECK(again.trigger == set.trigger);
  }
  const auto refused = [&](auto lie, const char* why) {
    Dataset lying = set;
    lie(lying);
    write_packed(dir / "q", lying);
    CHECK(error_code([&] { read_packed(dir / "q"); }) == ExitCode::input);
    const std::string text = error_text([&] { read_packed(dir / "q"); });
    CHECK_MESSAGE(contains(text, why), text);
  };
  refused([](Dataset& s) { s.mislabeled[0] = {}; }, "no training sample has this id");
  refused([](Dataset& s) { s.trigger.side = 3; }, "has another label or no trigger");
  refused([](Dataset& s) { s.trigger.target = 0; }, "has another label or no trigger");
  refused([](Dataset& s) { s.trigger.margin = 7; }, "lies outside 8x8");
  const auto unwritable = [&](auto lie) {
    Dataset lying = set;
    lie(lying);
    return error_code([&] { write_packed(dir / "q", lying); }) == ExitCode::input;
  };
  CHECK(unwritable([](Dataset& s) { std::swap(s.mislabeled[0], s.mislabeled[1]); }));
  CHECK(unwritable([](Dataset& s) { s.mislabeled[1] = s.mislabeled[0]; }));
  CHECK(unwritable([](Dataset& s) { s.trigger.target = 4; }));
}

TEST_CASE("forget: mislabeled and poisoned are those of the record that are trained on") {
  Dataset set = tiny_set(100, 20, 4, 8);
  const auto forget = [&](const char* spec) {
    return resolve_forget(spec, set, make_split(set, {.val_fraction = 0.2}), 0).positions;
  };
  const auto text = [&](const char* spec) { return error_text([&] { forget(spec); }); };
  CHECK(contains(text("mislabeled"), "no record of mislabeled samples"));
  CHECK(contains(text("poisoned"), "expunge data corrupt"));
  mislabel(set, 0.2, 0);
  poison(set, 0.1, {}, 0);
  const Split split = make_split(set, {.val_fraction = 0.2});
  size_t trained_on = 0;
  for (const char* spec : {"mislabeled", "poisoned"}) {
    const std::vector<SampleId>& list = spec[0] == 'm' ? set.mislabeled : set.poisoned;
    std::vector<int32_t> expected;
    for (int32_t p : split.train)
      if (records(list, set.ids[static_cast<size_t>(p)])) expected.push_back(p);
    CHECK(forget(spec) == expected);
    trained_on += expected.size();
  }
  CHECK(trained_on < set.mislabeled.size() + set.poisoned.size());  // some are validation samples
  CHECK(error_code([&] { forget("poisoned:3"); }) == ExitCode::usage);
}
