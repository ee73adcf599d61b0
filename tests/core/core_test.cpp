#include <doctest/doctest.h>

#include <set>
#include <string>

#include "core/arena.h"
#include "core/nearest.h"
#include "core/parallel.h"
#include "core/param_store.h"
#include "core/rng.h"
#include "core/tensor.h"

namespace expunge {

TEST_CASE("tensor: copies share memory, clones do not, views are checked") {
  const Tensor a = Tensor::of({1, 2, 3, 4, 5, 6});
  const Tensor b = a, c = a.clone(), view = a.slice(2, {2, 2});
  b.data()[2] = 9;
  CHECK(a.data()[2] == 9);
  CHECK(c.data()[2] == 3);
  CHECK(view.data()[0] == 9);
  CHECK(view.shape() == Shape{2, 2});
  CHECK_THROWS_AS(a.slice(3, {4}), Error);
  CHECK_THROWS_AS(a.reshape({7}), Error);
  CHECK_THROWS_AS(a.as<int32_t>(), Error);
  CHECK(Shape{2, 3}.str() == "(2, 3)");
  CHECK(Shape{}.size() == 1);
}

TEST_CASE("pool: memory that was released is used again, aligned to 256 bytes") {
  const void* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    const Tensor t({1000, 7});
    if (first == nullptr) first = t.bytes();
    CHECK(t.bytes() == first);
    CHECK(reinterpret_cast<uintptr_t>(t.bytes()) % 256 == 0);
  }
  CHECK_THROWS_AS(Tensor({int64_t{1} << 40}), Error);
}

TEST_CASE("pool: the peak can be taken anew") {
  { const Tensor large({1 << 20}); }
  pool_restart_peak();
  const int64_t before = pool_stats().peak_bytes_in_use;
  CHECK(before == pool_stats().bytes_in_use);
  { const Tensor small({1 << 10}); }
  const int64_t more = pool_stats().peak_bytes_in_use - before;
  CHECK((more >= 4 << 10 && more < 4 << 20));
}

TEST_CASE("pool: the guard sees a write behind and before a block") {
  pool_guard(true);
  for (int64_t at : {-1, 10}) {
    { Tensor({10}).data()[at] = 1; }
    CHECK(pool_guard(true) == 1);
  }
  { Tensor({10}).data()[9] = 1; }
  CHECK(pool_guard(false) == 0);
}

TEST_CASE("parameter store: ranges start on 256-byte boundaries and padding is not counted") {
  ParamStore store;
  store.add_parameter({.name = "a", .shape = {3, 5}});
  store.add_parameter({.name = "b", .shape = {65}});
  CHECK_THROWS_AS(store.add_parameter({.name = "a", .shape = {1}}), Error);
  store.allocate();
  CHECK(store.parameters()[1].offset == 64);
  CHECK(store.parameters().padded_size() == 64 + 128);
  CHECK(store.parameters().size() == 80);
  CHECK_THROWS_AS(store.add_parameter({.name = "c", .shape = {1}}), Error);
  for (int p = 0; p < 2; ++p)
    for (float& v : store.value(p).span()) v = static_cast<float>(p + 1);

  SUBCASE("a clone is a copy of its own") {
    const ParamStore copy = store.clone();
    copy.value(0).data()[0] = 7;
    CHECK(store.value(0).data()[0] == 1);
  }
  SUBCASE("clone_with keeps what both shapes have and zeroes the rest") {
    const Range wider[] = {{.name = "a", .shape = {4, 5}}};
    const ParamStore more = store.clone_with(wider);
    CHECK(more.value(0).shape() == Shape{4, 5});
    CHECK(more.value(0).data()[14] == 1);
    CHECK(more.value(0).data()[15] == 0);
    CHECK(more.value(1).data()[64] == 2);
    const Range narrower[] = {{.name = "a", .shape = {3, 5}}};
    CHECK(more.clone_with(narrower).value(0).shape() == Shape{3, 5});
  }
}

TEST_CASE("philox: the known answers of Random123 for Philox4x32-10") {
  // key 0 needs purpose 0, which no use of ours has
  const rng::Draw zero = rng::philox(0, rng::Purpose{0}, {{0, 0, 0, 0}});
  CHECK(zero.word[0] == 0x6627e8d5u);
  CHECK(zero.word[1] == 0xe169c58du);
  CHECK(zero.word[2] == 0xbc57ac4cu);
  CHECK(zero.word[3] == 0x9b00dbd8u);
  const rng::Draw ones = rng::philox(~uint64_t{0}, rng::Purpose{0}, {{~0u, ~0u, ~0u, ~0u}});
  CHECK(ones.word[0] == 0x408f276du);
  CHECK(ones.word[1] == 0x41c83b0eu);
  CHECK(ones.word[2] == 0xa20bc7c6u);
  CHECK(ones.word[3] == 0x6d5451fdu);
}

TEST_CASE("rng: uniform lies in [0, 1) and below(n) in [0, n)") {
  CHECK(rng::uniform(0) == 0.0f);
  CHECK(rng::uniform(~0u) < 1.0f);
  CHECK(rng::below(~0u, 10) == 9);
  CHECK(rng::below(0, 10) == 0);
}

TEST_CASE("parallel_for: every chunk runs once, exceptions arrive, nesting is serial") {
  for (int threads : {1, 2, 5}) {
    set_thread_count(threads);
    std::vector<int> hits(1000, 0);
    parallel_for(1000, [&](int64_t c) {
      parallel_for(2, [&](int64_t) { ++hits[static_cast<size_t>(c)]; });
    });
    CHECK(hits == std::vector<int>(1000, 2));
    CHECK_THROWS_WITH_AS(parallel_for(8, [](int64_t c) { EXPUNGE_CHECK(c != 5, "chunk {}", c); }),
                         doctest::Contains("chunk 5"), Error);
  }
  set_thread_count(0);
}

TEST_CASE("worker: runs a job beside the caller and hands its exception over") {
  Worker worker;
  int done = 0;
  auto job = [&] { done = 42; };
  worker.start(job);
  worker.wait();
  CHECK(done == 42);
  auto bad = [] { fail(ExitCode::input, "broken batch"); };
  worker.start(bad);
  CHECK_THROWS_WITH_AS(worker.wait(), "broken batch", Error);
  worker.wait();  // reported once
}

TEST_CASE("arena: the second round of the same requests uses the same memory") {
  Arena arena;
  std::vector<void*> first;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 300; ++i) {
      void* p = arena.allocate(static_cast<size_t>(1 + 401 * (i % 7)), 16);
      CHECK(reinterpret_cast<uintptr_t>(p) % 16 == 0);
      if (round == 0)
        first.push_back(p);
      else
        CHECK(p == first[static_cast<size_t>(i)]);
    }
    arena.reset();
  }
}

TEST_CASE("nearest: a typing error finds its name, nonsense gets the list") {
  const std::string known[] = {"momentum", "nesterov", "lr"};
  CHECK(nearest("momentun", known) == "momentum");
  CHECK(nearest_hint("zzzzzzzz", known) == "; known: momentum, nesterov, lr");
}

}  // namespace expunge
