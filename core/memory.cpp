#include "core/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/memory_cuda.h"
#include "core/work_graph_cuda.h"

namespace expunge {
namespace {

// Size classes: four per power of two from 256 bytes up, so at most a quarter of a block is unused.
constexpr int kSteps = 4;
constexpr size_t kSmallest = 256;
constexpr int kClasses = kSteps * 40;

}  // namespace

// Blocks that nobody uses, by size class, and how many of the same home are in use.
struct BlockLists {
  std::array<Block*, kClasses> waiting{};
  int64_t in_use = 0;

  // A block of this size class, or of one at most four times as large: better than asking the
  // system.
  Block* take(int index) {
    const int last = std::min(index + 2 * kSteps, kClasses - 1);
    for (int i = index; i <= last; ++i) {
      Block*& head = waiting[static_cast<size_t>(i)];
      if (head != nullptr) return std::exchange(head, head->next);
    }
    return nullptr;
  }
  void put(Block* block) {
    Block*& head = waiting[static_cast<size_t>(block->size_class)];
    block->next = std::exchange(head, block);
  }
};

namespace {

// Blocks as large as the parameters of a network ask for huge pages: fewer misses of the address
// cache where a kernel walks through many arrays at once.
constexpr size_t kHugePage = size_t{2} << 20, kLarge = 16 * kHugePage;

struct SizeClass {
  int index;
  size_t bytes;
};

// The system wants sizes that are multiples of the alignment.
size_t system_bytes(size_t bytes) {
  return Block::kAlign + (bytes + Block::kAlign - 1) / Block::kAlign * Block::kAlign;
}

// Their headers start at different distances from the page's beginning: arrays that are walked
// through side by side would otherwise compete for the same sets of the L1 cache.
constexpr size_t kStagger = 3 * Block::kAlign, kPlaces = 8;

// With its header at `place`.
Block* host_block(void* place, void* memory) {
  return new (place)
      Block{.memory = memory, .bytes = static_cast<unsigned char*>(place) + Block::kAlign};
}

Block* system_block(size_t bytes, int64_t number) {
  const size_t all = system_bytes(bytes);
  if (all < kLarge) {
    void* memory = std::aligned_alloc(Block::kAlign, all);
    return memory != nullptr ? host_block(memory, memory) : nullptr;
  }
  const size_t pages = (all + kPlaces * kStagger + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, pages);
  if (memory == nullptr) return nullptr;
  madvise(memory, pages, MADV_HUGEPAGE);  // a wish: refused, it changes nothing
  const size_t place = static_cast<size_t>(number) % kPlaces * kStagger;
  return host_block(static_cast<unsigned char*>(memory) + place, memory);
}

Block* system_block(size_t bytes, int64_t number, Stream stream) {
  if (stream.device == Device::cpu) return system_block(bytes, number);
  if constexpr (kCudaBuild) {
    void* memory = cuda_allocate(bytes);
    return memory != nullptr ? new Block{.memory = memory, .bytes = memory, .stream = stream}
                             : nullptr;
  } else {
    no_cuda_backend();
  }
}

// A GPU that is given memory back waits for its work, which a step that is recorded may not.
bool may_trim(Stream stream) {
  if constexpr (kCudaBuild) return stream.device == Device::cpu || !cuda_is_recording();
  return true;
}

void give_back(Block* block) {
  void* memory = block->memory;
  if (block->stream.device == Device::cpu) {
    block->~Block();
    std::free(memory);
  } else if constexpr (kCudaBuild) {
    cuda_release(memory);
    delete block;
  }
}

SizeClass size_class(size_t bytes) {
  if (bytes <= kSmallest) return {0, kSmallest};
  const int power = std::bit_width(bytes - 1) - 1;  // 2^power < bytes <= 2^(power+1)
  const size_t base = size_t{1} << power, step = base / kSteps;
  const size_t up = (bytes - base + step - 1) / step;  // 1..4
  return {(power - 8) * kSteps + static_cast<int>(up), base + up * step};
}

constexpr Device kDevices[] = {Device::cpu, Device::cuda};
constexpr unsigned char kGuard = 0xA5, kFresh = 0xFF;  // 0xFFFFFFFF is a NaN

struct Pool {
  std::mutex mutex;
  bool guarded = false;
  int64_t overwritten = 0;
  BlockLists shared{};
  BlockLists* lists = &shared;  // or those of the area that is entered
  PoolStats stats{};

  static Pool& of(Device device) {
    static Pool* pools = new Pool[2];  // never destroyed: static tensors may outlive main
    return pools[static_cast<size_t>(device)];
  }

  void trim(BlockLists& of) {
    for (Block*& head : of.waiting) {
      while (head != nullptr) {
        Block* block = head;
        head = block->next;
        stats.bytes_held -= static_cast<int64_t>(block->capacity);
        give_back(block);
      }
    }
  }
};

struct Bytes {
  unsigned char* begin;
  size_t size;
};

// The rest of the header and the unused end of the block.
std::array<Bytes, 2> guard_zones(Block* block) {
  unsigned char *header = reinterpret_cast<unsigned char*>(block),
                *data = static_cast<unsigned char*>(block->bytes);
  return {{{header + sizeof(Block), Block::kAlign - sizeof(Block)},
           {data + block->asked, block->capacity - block->asked}}};
}

void paint(Block* block) {
  for (const Bytes zone : guard_zones(block)) std::memset(zone.begin, kGuard, zone.size);
  std::memset(block->bytes, kFresh, block->asked);
}

bool intact(Block* block) {
  for (const Bytes zone : guard_zones(block))
    for (size_t i = 0; i < zone.size; ++i)
      if (zone.begin[i] != kGuard) return false;
  return true;
}

}  // namespace

Block* pool_acquire(size_t bytes, Stream stream) {
  if (bytes >> 39 != 0)
    fail(ExitCode::memory, "out of memory: {} bytes asked for in one piece", bytes);
  Pool& pool = Pool::of(stream.device);
  std::lock_guard lock(pool.mutex);
  const SizeClass wanted = size_class(bytes + (pool.guarded ? Block::kAlign : 0));
  Block* block = pool.lists->take(wanted.index);
  if (block != nullptr) {
    block->users.store(1, std::memory_order_relaxed);
  } else {
    block = system_block(wanted.bytes, pool.stats.system_allocations, stream);
    if (block == nullptr && may_trim(stream)) {  // the cache may hold what is missing
      pool.trim(pool.shared);
      block = system_block(wanted.bytes, pool.stats.system_allocations, stream);
    }
    if (block == nullptr)
      fail(ExitCode::memory, "out of memory{}: {} MiB asked for, {} MiB in use",
           stream.device == Device::cuda ? " on the GPU" : "",
           (wanted.bytes + (size_t{1} << 20) - 1) >> 20, pool.stats.bytes_in_use >> 20);
    block->size_class = wanted.index;
    block->home = pool.lists;
    block->capacity = wanted.bytes;
    ++pool.stats.system_allocations;
    pool.stats.bytes_held += static_cast<int64_t>(wanted.bytes);
  }
  ++block->home->in_use;
  block->asked = bytes;
  block->painted = pool.guarded;
  if (block->painted) paint(block);
  pool.stats.bytes_in_use += static_cast<int64_t>(block->capacity);
  if (pool.stats.bytes_in_use > pool.stats.peak_bytes_in_use)
    pool.stats.peak_bytes_in_use = pool.stats.bytes_in_use;
  return block;
}

void pool_release(Block* block) {
  Pool& pool = Pool::of(block->stream.device);
  std::lock_guard lock(pool.mutex);
  if (block->painted && !intact(block)) ++pool.overwritten;
  block->home->put(block);
  --block->home->in_use;
  pool.stats.bytes_in_use -= static_cast<int64_t>(block->capacity);
}

PoolArea::PoolArea() : lists_(new BlockLists) {}

// Blocks still in use go back to the area when they are dropped, so it stays.
PoolArea::~PoolArea() {
  Pool& pool = Pool::of(Device::cuda);
  std::lock_guard lock(pool.mutex);
  pool.trim(*lists_);
  if (lists_->in_use == 0) delete lists_;
}

PoolArea::Entered::Entered(const PoolArea& area) {
  Pool& pool = Pool::of(Device::cuda);
  std::lock_guard lock(pool.mutex);
  before_ = std::exchange(pool.lists, area.lists_);
}

PoolArea::Entered::~Entered() {
  Pool& pool = Pool::of(Device::cuda);
  std::lock_guard lock(pool.mutex);
  pool.lists = before_;
}

PoolStats pool_stats(Device device) {
  Pool& pool = Pool::of(device);
  std::lock_guard lock(pool.mutex);
  return pool.stats;
}

void pool_restart_peak() {
  for (const Device device : kDevices) {
    Pool& pool = Pool::of(device);
    std::lock_guard lock(pool.mutex);
    pool.stats.peak_bytes_in_use = pool.stats.bytes_in_use;
  }
}

int64_t pool_guard(bool on) {
  Pool& pool = Pool::of(Device::cpu);
  std::lock_guard lock(pool.mutex);
  pool.guarded = on;
  return std::exchange(pool.overwritten, 0);
}

void pool_trim() {
  for (const Device device : kDevices) {
    Pool& pool = Pool::of(device);
    std::lock_guard lock(pool.mutex);
    pool.trim(pool.shared);
  }
}

}  // namespace expunge
