#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "support/allocations.h"
#include "support/error.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

LoaderConfig all_of(const Dataset& set, int64_t batch_size) {
  LoaderConfig config{.batch_size = batch_size, .shuffle = true, .crop = true, .flip = true};
  config.positions.resize(static_cast<size_t>(set.train_count));
  std::iota(config.positions.begin(), config.positions.end(), 0);
  return config;
}

struct Delivered {
  std::vector<float> x;
  std::vector<int32_t> index, labels;
  std::vector<int64_t> sizes;
  bool operator==(const Delivered&) const = default;
};

Delivered run(Loader& loader, int epoch, int64_t first_batch = 0) {
  Delivered out;
  Batch batch;
  loader.start(epoch, first_batch);
  while (loader.next(batch)) {
    const auto n = batch.size();
    out.sizes.push_back(n);
    out.x.insert(out.x.end(), batch.x.data(), batch.x.data() + batch.x.size());
    out.index.insert(out.index.end(), batch.index.as<int32_t>(), batch.index.as<int32_t>() + n);
    out.labels.insert(out.labels.end(), batch.labels.as<int32_t>(), batch.labels.as<int32_t>() + n);
  }
  CHECK_FALSE(loader.next(batch));
  return out;
}

std::vector<int32_t> sorted(std::vector<int32_t> v) {
  std::sort(v.begin(), v.end());
  return v;
}

}  // namespace

TEST_CASE("loader: an epoch delivers each sample once, with its label, in a new order") {
  const Dataset set = tiny_set(50, 5, 3);
  const LoaderConfig config = all_of(set, 16);
  Loader loader(set, config);
  CHECK(loader.samples() == 50);
  CHECK(loader.batches() == 4);
  const Delivered first = run(loader, 0), second = run(loader, 1);
  CHECK(first.sizes == std::vector<int64_t>{16, 16, 16, 2});
  CHECK(sorted(first.index) == config.positions);
  CHECK(sorted(second.index) == config.positions);
  CHECK(first.index != second.index);
  for (size_t i = 0; i < first.index.size(); ++i)
    CHECK(first.labels[i] == set.labels[static_cast<size_t>(first.index[i])]);
}

TEST_CASE("loader: a short last batch can be dropped; no shuffle keeps the order given") {
  const Dataset set = tiny_set(50, 5, 3);
  LoaderConfig config = all_of(set, 16);
  config.shuffle = false;
  config.last = LastBatch::drop;
  config.positions = {9, 3, 7, 20, 1};
  config.batch_size = 2;
  Loader loader(set, config);
  CHECK(loader.samples() == 4);
  CHECK(run(loader, 0).index == std::vector<int32_t>{9, 3, 7, 20});
}

TEST_CASE("loader: the same bits with and without prefetch, for any number of threads") {
  const Dataset set = tiny_set(70, 5, 3, 8);
  LoaderConfig config = all_of(set, 16);
  Loader ahead(set, config);
  config.prefetch = false;
  Loader plain(set, config);
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    for (int epoch = 0; epoch < 3; ++epoch) CHECK(run(ahead, epoch) == run(plain, epoch));
  }
  set_thread_count(0);
}

TEST_CASE("loader: started in the middle it delivers the rest of the epoch, bit for bit") {
  const Dataset set = tiny_set(70, 5, 3, 8);
  for (const bool prefetch : {true, false}) {
    LoaderConfig config = all_of(set, 16);
    config.prefetch = prefetch;
    Loader loader(set, config);
    const Delivered whole = run(loader, 2);
    for (int64_t from = 0; from <= loader.batches(); ++from) {
      Loader fresh(set, config);
      const Delivered rest = run(fresh, 2, from);
      const size_t skipped = std::min<size_t>(70, static_cast<size_t>(from) * 16);
      CHECK(rest.index.size() == 70 - skipped);
      CHECK(std::equal(rest.index.begin(), rest.index.end(),
                       whole.index.end() - std::ssize(rest.index)));
      CHECK(std::equal(rest.x.begin(), rest.x.end(), whole.x.end() - std::ssize(rest.x)));
    }
  }
}

TEST_CASE("loader: an epoch can be given up half way and another started") {
  const Dataset set = tiny_set(70, 5, 3);
  Loader loader(set, all_of(set, 16));
  const Delivered whole = run(loader, 1);
  Batch batch;
  loader.start(0);
  loader.next(batch);
  CHECK(run(loader, 1) == whole);
}

TEST_CASE("loader: a sample is moved by seed, epoch and its id, wherever it comes in the order") {
  const Dataset set = tiny_set(40, 5, 3, 8);
  LoaderConfig config = all_of(set, 8);
  Loader shuffled(set, config);
  config.shuffle = false;
  Loader plain(set, config);
  const Delivered a = run(shuffled, 3), b = run(plain, 3);
  const size_t image = 8 * 8 * 3;
  for (size_t i = 0; i < 40; ++i) {
    const auto at = static_cast<size_t>(a.index[i]);
    REQUIRE(std::equal(&a.x[i * image], &a.x[i * image] + image, &b.x[at * image]));
  }
  CHECK(run(plain, 4).x != b.x);
  config.seed = 1;
  Loader other(set, config);
  CHECK(run(other, 3).x != b.x);
}

TEST_CASE("loader: without augmentation images are the normalised pixels") {
  const Dataset set = tiny_set(10, 5, 3);
  LoaderConfig config = all_of(set, 4);
  config.shuffle = config.crop = config.flip = false;
  Loader loader(set, config);
  const Delivered all = run(loader, 0);
  for (size_t i = 0; i < all.x.size(); ++i) {
    const float p = static_cast<float>(set.pixels[i]) / 255.0f;
    REQUIRE(all.x[i] == (p - set.mean[i % 3]) / set.std[i % 3]);
  }
}

TEST_CASE("loader: after the first epoch nothing is allocated") {
  const Dataset set = tiny_set(70, 5, 3, 8);
  for (const bool prefetch : {true, false}) {
    LoaderConfig config = all_of(set, 16);
    config.prefetch = prefetch;
    Loader loader(set, config);
    Batch batch;
    int64_t allocated = 0, pooled = 0;
    for (int epoch = 0; epoch < 3; ++epoch) {
      if (epoch == 1) allocated = allocations, pooled = pool_stats().system_allocations;
      loader.start(epoch);
      while (loader.next(batch)) continue;
    }
    CHECK(allocations == allocated);
    CHECK(pool_stats().system_allocations == pooled);
  }
}

TEST_CASE("loader: impossible settings are refused") {
  const Dataset set = tiny_set(10, 5, 3);
  CHECK(error_code([&] { Loader(set, all_of(set, 0)); }) == ExitCode::usage);
  LoaderConfig drop = all_of(set, 11);
  drop.last = LastBatch::drop;
  CHECK(error_code([&] { Loader(set, drop); }) == ExitCode::usage);
  LoaderConfig outside = all_of(set, 4);
  outside.positions.push_back(15);
  CHECK(error_code([&] { Loader(set, outside); }) == ExitCode::internal);
  Loader loader(set, all_of(set, 4));
  Batch batch;
  CHECK(error_code([&] { loader.next(batch); }) == ExitCode::internal);
  CHECK(error_code([&] { loader.start(0, 4); }) == ExitCode::internal);
  Loader empty(set, LoaderConfig{});
  empty.start(0);
  CHECK_FALSE(empty.next(batch));
}

TEST_CASE("parse_augment: crop, flip, both or none") {
  LoaderConfig config;
  parse_augment("crop,flip", config);
  CHECK((config.crop && config.flip));
  parse_augment("flip", config);
  CHECK((!config.crop && config.flip));
  parse_augment("none", config);
  CHECK((!config.crop && !config.flip));
  for (const char* bad : {"", "crop,", "crop,crop", "rotate", "none,crop", "crop flip"})
    CHECK(error_code([&] { parse_augment(bad, config); }) == ExitCode::usage);
}
