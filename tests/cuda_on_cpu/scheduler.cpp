#include "cuda_on_cpu/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "cuda_on_cpu/race.h"
#include "cuda_on_cpu/report.h"

namespace cuda_on_cpu {

Here here;
Block* block = nullptr;
Thread* running = nullptr;
Fiber* fiber = nullptr;
bool atomic_now = false;

namespace {

std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;
Fiber* caller = nullptr;  // of run_block
Thread* fresh = nullptr;  // what a fiber begins with

void go_to(Fiber& to) {
  if (&to == fiber) return;
  Fiber& from = *fiber;
  fiber = &to;
  from.switch_to(to);
}

Thread* take_ready() {
  const int rank = block->ready.take_lowest();
  return rank < 0 ? nullptr : &block->threads[block->by_rank[static_cast<unsigned>(rank)]];
}

// Those who wait, a line for each place.
[[noreturn]] void report_deadlock() {
  std::string places;
  for (const Thread& t : block->threads) {
    if (t.state == State::returned) continue;
    const auto here_too = [&](const Thread& u) {
      return u.state == t.state && u.site.line == t.site.line && u.site.file == t.site.file;
    };
    if (std::any_of<const Thread*>(block->threads.data(), &t, here_too)) continue;
    const bool at_block = t.state == State::at_block_barrier;
    char line[256];
    std::snprintf(line, sizeof line, "\n  %ld thread(s), the first %u, wait at the %s %s:%u",
                  std::ranges::count_if(block->threads, here_too), t.number,
                  at_block ? "barrier" : "warp operation", t.site.file, t.site.line);
    places += line;
    if (at_block) continue;
    std::snprintf(line, sizeof line, " with lanes %08x", t.mask);
    places += line;
  }
  die("deadlock: nobody can go on%s", places.c_str());
}

void return_from_kernel(Thread& me) {
  me.state = State::returned;
  ++block->returned;
  if (block->grid->overlaps && !me.started)
    die("thread %u ends without start_kernel(), where kernels before may still run", me.number);
  Warp& warp = block->warps[me.warp()];
  warp.returned |= me.bit();
  if (block->waiting > 0)
    die("thread %u returns while others wait at the barrier %s:%u", me.number, block->barrier.file,
        block->barrier.line);
  for (const WarpOperation* op : warp.open)
    if ((op->mask & me.bit()) != 0)
      die("lane %u returns while others of its warp wait for it at %s:%u", me.lane(), op->site.file,
          op->site.line);
}

// Whom every fiber runs: threads that have not begun, one after the other, as long as it is their
// turn.
void run_threads() {
  for (;;) {
    Thread* thread = std::exchange(fresh, nullptr);
    while (thread != nullptr && thread->fiber == nullptr) {
      thread->fiber = fiber;
      here.thread = thread->index;
      running = thread;
      thread->started = false;
      block->grid->run_thread(block->grid->kernel, block->grid->arguments.get());
      running = nullptr;
      return_from_kernel(*thread);
      thread = take_ready();
    }
    if (thread == nullptr && block->returned < block->threads.size()) report_deadlock();
    idle.push_back(fiber);
    go_to(thread == nullptr ? *caller : *thread->fiber);
  }
}

Fiber& fiber_for(Thread& thread) {
  if (thread.fiber != nullptr) return *thread.fiber;
  fresh = &thread;
  if (idle.empty()) {
    fibers.push_back(std::make_unique<Fiber>(run_threads));
    return *fibers.back();
  }
  Fiber& last = *idle.back();
  idle.pop_back();
  return last;
}

// The rank of each thread, lowest first.
void set_ranks(Dice& dice) {
  const auto n = static_cast<unsigned>(block->threads.size());
  std::iota(block->by_rank.begin(), block->by_rank.end(), 0u);
  if (options().order == Order::descending) std::ranges::reverse(block->by_rank);
  if (options().order == Order::shuffled) {
    std::vector<uint64_t> key(n);
    for (unsigned i = 0; i < n; ++i) {
      const bool by_warp = options().seed % 2 == 1 && i % kWarp != 0;
      const uint64_t drawn = dice();
      key[i] = by_warp ? (key[i - 1] & ~uint64_t{0xffffffff}) | drawn >> 32 : drawn;
    }
    std::ranges::sort(block->by_rank, {}, [&](unsigned i) { return key[i]; });
  }
  for (unsigned rank = 0; rank < n; ++rank) block->threads[block->by_rank[rank]].rank = rank;
}

void run_block(Dice& dice) {
  Block& b = *block;
  for (Thread& t : b.threads) {
    t.state = State::ready, t.fiber = nullptr;
    t.copies.clear(), t.groups.clear(), t.copied = 0;
  }
  for (Warp& w : b.warps) w.returned = w.barriers = 0;
  b.returned = b.barriers = 0;
  set_ranks(dice);
  for (unsigned rank = 0; rank < b.threads.size(); ++rank) b.ready.add(rank);
  if (b.grid->shared_bytes > 0) dynamic_shared();
  Fiber& first = fiber_for(*take_ready());
  go_to(first);
  release_shared();
}

std::vector<uint64_t> block_order(uint64_t blocks, Dice& dice) {
  std::vector<uint64_t> order(blocks);
  std::iota(order.begin(), order.end(), uint64_t{0});
  if (options().order == Order::descending) std::ranges::reverse(order);
  if (options().order == Order::shuffled)
    for (uint64_t i = blocks; i > 1; --i) std::swap(order[i - 1], order[dice() % i]);
  return order;
}

uint3 place(uint64_t i, const dim3& in) {
  return {static_cast<unsigned>(i % in.x), static_cast<unsigned>(i / in.x % in.y),
          static_cast<unsigned>(i / in.x / in.y)};
}

}  // namespace

bool is_skipped(Site site) {
  const char* skip = options().skip;
  if (skip == nullptr) return false;
  char text[512];
  const int size = std::snprintf(text, sizeof text, "%s:%u", site.file, site.line);
  const auto wanted = static_cast<int>(std::strlen(skip));
  return size >= wanted && std::strcmp(text + (size - wanted), skip) == 0;
}

Atomic::Atomic() {
  atomic_now = true;
}
Atomic::~Atomic() {
  atomic_now = false;
}

void make_ready(Thread& thread) {
  thread.state = State::ready;
  block->ready.add(thread.rank);
}

void wait(Thread& me) {
  Thread* next = take_ready();
  if (next == nullptr) report_deadlock();
  go_to(fiber_for(*next));
  here.thread = me.index;
}

void run_grid(const Grid& grid) {
  static uint32_t blocks_run = 1;
  Block b;
  b.grid = &grid;
  const unsigned n = grid.threads.x * grid.threads.y * grid.threads.z;
  b.threads.resize(n), b.by_rank.resize(n), b.warps.resize(n / kWarp);
  for (unsigned i = 0; i < n; ++i)
    b.threads[i].number = i, b.threads[i].index = place(i, grid.threads);
  Fiber outside;
  caller = fiber = &outside;
  block = &b;
  here.block_dim = grid.threads, here.grid_dim = grid.blocks;
  Dice dice{options().seed * 0x9E3779B97F4A7C15u + 12345};
  b.first_number = blocks_run;
  for (uint64_t i : block_order(uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z, dice)) {
    here.block = place(i, grid.blocks);
    b.number = blocks_run++;
    run_block(dice);
  }
  block = nullptr;
}

void block_barrier(Site site) {
  if (is_skipped(site)) return;
  const Call call;
  Thread& me = call.me();
  Block& b = *block;
  if (b.returned > 0)
    die("barrier %s:%u: %u thread(s) of the block have returned already", site.file, site.line,
        b.returned);
  if (b.waiting == 0) b.barrier = site;
  if (b.barrier.line != site.line || std::strcmp(b.barrier.file, site.file) != 0)
    die("divergent barriers: thread %u is at %s:%u, others wait at %s:%u", me.number, site.file,
        site.line, b.barrier.file, b.barrier.line);
  me.state = State::at_block_barrier;
  me.site = site;
  if (++b.waiting == b.threads.size()) {
    b.waiting = 0;
    ++b.barriers;
    for (Thread& t : b.threads) make_ready(t);
  }
  wait(me);
}

}  // namespace cuda_on_cpu
