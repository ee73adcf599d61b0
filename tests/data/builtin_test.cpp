#include "data/builtin.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/parallel.h"

using namespace expunge;
using namespace expunge::data;

// The same on every machine, compiler and thread count. Whoever changes the set on purpose changes
// this.
constexpr const char* kDigest = "58e95877dd2e219d818a14f66e409e96b100761cd985b5f5ce44da8cc9f3e349";

TEST_CASE("builtin: ten balanced classes of 32 x 32 images, the same bits everywhere") {
  const Dataset set = open_dataset("builtin");
  CHECK(set.train_count == 4000);
  CHECK(set.test_count == 1000);
  CHECK(set.image_bytes() == 32 * 32 * 3);
  CHECK(set.classes.size() == 10);
  CHECK(std::is_sorted(set.classes.begin(), set.classes.end()));
  CHECK(set.class_counts(0, 4000) == std::vector<int64_t>(10, 400));
  CHECK(set.class_counts(4000, 5000) == std::vector<int64_t>(10, 100));
  CHECK(set.digest == kDigest);
  CHECK(std::set(set.ids.begin(), set.ids.end()).size() == 5000);
}

TEST_CASE("builtin: one thread draws what several draw") {
  set_thread_count(1);
  const std::string one = make_builtin().digest;
  set_thread_count(3);
  const std::string three = make_builtin().digest;
  set_thread_count(0);
  CHECK(one == three);
}
