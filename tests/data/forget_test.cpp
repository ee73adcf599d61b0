#include <doctest/doctest.h>

#include <algorithm>

#include "data/split.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

struct Fixture {
  Dataset set = tiny_set(100, 20, 4);
  Split split = make_split(set, {.val_fraction = 0.2});
  TempDir dir;

  std::vector<int32_t> positions(const std::string& spec, uint64_t seed = 0) const {
    return resolve_forget(spec, set, split, seed).positions;
  }
  ExitCode code(const std::string& spec) const {
    return error_code([&] { positions(spec); });
  }
  std::string text(const std::string& spec) const {
    return error_text([&] { positions(spec); });
  }
  ForgetSet listed(const std::string& lines) const {
    put_file(dir / "ids", lines);
    return resolve_forget("file:" + (dir / "ids").string(), set, split, 0);
  }
  std::string listed_text(const std::string& lines) const {
    return error_text([&] { listed(lines); });
  }
  std::string id(int32_t position) const { return set.ids[static_cast<size_t>(position)].hex(); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "forget: random by share and by number, of the training part only") {
  REQUIRE(split.train.size() == 80);
  CHECK(positions("random:0.1").size() == 8);
  CHECK(positions("random:8") == positions("random:0.1"));
  CHECK(positions("random:79").size() == 79);
  const std::vector<int32_t> chosen = positions("random:20");
  CHECK(std::is_sorted(chosen.begin(), chosen.end()));
  CHECK(std::includes(split.train.begin(), split.train.end(), chosen.begin(), chosen.end()));
}

TEST_CASE_FIXTURE(Fixture, "forget: the forget seed and the content decide a random set") {
  CHECK(positions("random:20") == positions("random:20"));
  CHECK(positions("random:20", 1) != positions("random:20"));
  const std::vector<int32_t> few = positions("random:10"), more = positions("random:20");
  CHECK(std::includes(more.begin(), more.end(), few.begin(), few.end()));
}

TEST_CASE_FIXTURE(Fixture, "forget: a class by name or index, or a number of one class") {
  const std::vector<int32_t> whole = positions("class:class2");
  CHECK(whole.size() == 20);
  CHECK(positions("class:2") == whole);
  for (const int32_t p : whole) CHECK(set.labels[static_cast<size_t>(p)] == 2);
  const std::vector<int32_t> part = positions("class:class2:5");
  CHECK(part.size() == 5);
  CHECK(part == positions("class:2:5"));
  CHECK(std::includes(whole.begin(), whole.end(), part.begin(), part.end()));
  CHECK(positions("class:2:5", 3) != part);
}

TEST_CASE_FIXTURE(Fixture, "forget: a class name may be a number or hold a colon") {
  set.classes = {"3", "a:1", "2", "x"};
  for (const int32_t p : positions("class:3")) CHECK(set.labels[static_cast<size_t>(p)] == 0);
  for (const int32_t p : positions("class:a:1")) CHECK(set.labels[static_cast<size_t>(p)] == 1);
  CHECK(positions("class:a:1:4").size() == 4);
}

TEST_CASE_FIXTURE(Fixture, "forget: a file names samples by id, position or source") {
  const auto [a, b, c] = std::tuple{split.train[3], split.train[7], split.train[60]};
  const ForgetSet found = listed(fmt::format("# a comment\n{}\n\n  {}  # why\r\n{}", id(b), c,
                                             set.sources[static_cast<size_t>(a)]));
  CHECK(found.positions == std::vector<int32_t>{a, b, c});
  CHECK(found.duplicates == 0);
  CHECK(listed(fmt::format("{}\n{}\n{}\n", id(b), b, id(c))).duplicates == 1);
}

TEST_CASE_FIXTURE(Fixture, "forget: samples with equal ids go together, whatever names them") {
  const int32_t a = split.train[3], b = split.train[40];
  copy_sample(set, a, b);
  CHECK(listed(id(a)).positions == std::vector<int32_t>{a, b});
  CHECK(listed(fmt::format("{}\n{}\n", a, b)).duplicates == 1);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<int32_t> chosen = positions("random:40", seed);
    CHECK(std::binary_search(chosen.begin(), chosen.end(), a) ==
          std::binary_search(chosen.begin(), chosen.end(), b));
    CHECK((chosen.size() == 40 || chosen.size() == 41));
  }
}

TEST_CASE_FIXTURE(Fixture, "forget: unknown and untrained samples are listed at once") {
  const std::string text =
      listed_text(fmt::format("{}\nnobody.png\n{}\n{}\n100\n{}\n../../etc\n", id(split.train[0]),
                              std::string(32, 'a'), id(split.val[0]), std::string(2000, '7')));
  CHECK(contains(text, "6 lines name no training sample"));
  CHECK(contains(text, "line 2: nobody.png"));
  CHECK(contains(text, "line 3: aaaa"));
  CHECK(contains(text, "line 4: " + id(split.val[0])));
  CHECK(contains(text, "line 5: 100"));
  std::string many;
  for (int i = 0; i < 30; ++i) many += fmt::format("x{}\n", i);
  CHECK(contains(listed_text(many), "... and 10 more"));
  CHECK(code("file:no/such/file") == ExitCode::input);
}

TEST_CASE_FIXTURE(Fixture, "forget: empty sets and the whole training set are refused as input") {
  for (const char* spec : {"random:0", "random:0.0", "random:0.001", "class:2:0"}) {
    CHECK(code(spec) == ExitCode::input);
    CHECK(contains(text(spec), "it is empty"));
  }
  CHECK(contains(listed_text("# nothing\n"), "it is empty"));
  for (const char* spec : {"random:1.0", "random:80"}) {
    CHECK(code(spec) == ExitCode::input);
    CHECK(contains(text(spec), "the whole training set (80 samples)"));
  }
}

TEST_CASE_FIXTURE(Fixture, "forget: more than there is and classes that are not there: input") {
  CHECK(code("random:81") == ExitCode::input);
  CHECK(code("class:2:21") == ExitCode::input);
  CHECK(contains(text("class:2:21"), "only 20"));
  CHECK(code("class:9") == ExitCode::input);
  CHECK(contains(text("class:bird"), "class3"));
}

TEST_CASE_FIXTURE(Fixture, "forget: anything else is a usage error that names the forms") {
  for (const char* spec :
       {"", "random", "random:", "random:x", "random:-1", "random:1.5", "random:nan",
        "class:", "class:2:x", "class:2:-1", "file:", "file", "all", "RANDOM:0.1", "random:0.1x"}) {
    CHECK_MESSAGE(code(spec) == ExitCode::usage, spec);
    CHECK(contains(text(spec), "random:0.1 (a share)"));
  }
}
