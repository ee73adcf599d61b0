// A cell for each byte says who touched it last. Two accesses, of which one writes, race unless
// something orders them: the launch, the thread, a barrier of their block or of their warp between
// them. Shuffles and ballots order no memory (CUDA C++ Programming Guide, warp vote and shuffle
// functions). A barrier of some lanes of a warp counts for all of it, so a race between parts of a
// warp may be missed. Nothing orders blocks of a launch, atomics do not: there are no
// flags to wait for in our kernels.
#include "cuda_on_cpu/race.h"

#include <link.h>

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "cuda_on_cpu/device.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/scheduler.h"

namespace cuda_on_cpu {

void race_access(const void* p, size_t bytes, bool write, bool aligned, const void* code);

namespace {

struct Access {
  uint32_t block = 0;  // number among all that ran; 0: nobody
  uint32_t barriers = 0, warp_barriers = 0;
  uint16_t thread = 0;
  bool atomic = false;
  const void* code = nullptr;

  bool by_warp_of(const Access& b) const {
    return block == b.block && thread / kWarp == b.thread / kWarp;
  }
};

// Readers: two of one warp and one of another, so that whoever writes, one of them is not ordered
// with it.
struct Cell {
  Access writer, reader[3];
};

constexpr uintptr_t kPage = 4096;
using Page = std::array<Cell, kPage>;

Cell* cell_of(uintptr_t address, bool make) {
  static std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
  static uintptr_t last = 0;
  static Page* page = nullptr;
  if (address / kPage != last || page == nullptr) {
    std::unique_ptr<Page>& found = pages[address / kPage];
    if (found == nullptr && !make) return nullptr;
    if (found == nullptr) found = std::make_unique<Page>();
    last = address / kPage, page = found.get();
  }
  return &(*page)[address % kPage];
}

bool ordered(const Access& before, const Access& now) {
  if (before.block < block->first_number) return true;  // an earlier launch, or nobody
  if (before.block != now.block) return false;
  if (before.thread == now.thread || before.barriers != now.barriers) return true;
  return before.by_warp_of(now) && before.warp_barriers != now.warp_barriers;
}

[[noreturn]] void report(const char* what, const Access& before, const char* what_now,
                         const Access& now, const void* p) {
  die("race on %p: thread %u of block %u %s at %s,\n  thread %u of block %u %s at %s,\n  and "
      "nothing orders them",
      p, before.thread, before.block - block->first_number, what,
      source_of(before.code, Address::of_return).c_str(), now.thread,
      now.block - block->first_number, what_now, source_of(now.code, Address::of_return).c_str());
}

void check(const Access& before, const Access& now, const char* what, const char* what_now,
           const void* p) {
  if (!ordered(before, now) && !(before.atomic && now.atomic))
    report(what, before, what_now, now, p);
}

void note_read(Cell& c, const Access& now) {
  for (Access& r : c.reader)
    if (ordered(r, now)) return void(r = now);
  if (!c.reader[0].by_warp_of(now)) c.reader[2] = now;
}

// Code, constants: what the linker made read-only. Null once it was asked for.
bool is_constant(const void* p, size_t bytes) {
  struct Question {
    uintptr_t address, bytes;
  } question{reinterpret_cast<uintptr_t>(p), bytes};
  const auto answer = [](dl_phdr_info* object, size_t, void* data) {
    const auto* q = static_cast<Question*>(data);
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const auto& part = object->dlpi_phdr[i];
      if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
      const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
      if (q->address >= begin && q->address + q->bytes <= begin + part.p_memsz) return 1;
    }
    return 0;
  };
  return dl_iterate_phdr(answer, &question) != 0;
}

bool within(const void* p, size_t bytes, const void* whole, size_t size) {
  const auto *byte = static_cast<const unsigned char*>(p),
             *begin = static_cast<const unsigned char*>(whole);
  return byte >= begin && byte + bytes <= begin + size;
}

enum class Place : unsigned char { own, shared, device, elsewhere };

Place place_of(const void* p, size_t bytes, bool write) {
  if (fiber->has_on_stack(p)) return Place::own;
  if (is_accessible(p, bytes)) return Place::device;
  for (const SharedArray& a : block->shared)
    if (within(p, bytes, a.bytes, a.size)) return Place::shared;
  if (write) return Place::elsewhere;
  const Grid& g = *block->grid;
  if (within(p, bytes, &here, sizeof here) || within(p, bytes, g.arguments.get(), g.argument_bytes))
    return Place::own;
  return is_constant(p, bytes) ? Place::own : Place::elsewhere;
}

void note(const void* p, size_t bytes, bool write, const Access& now) {
  const char* what_now = now.atomic ? "updates" : write ? "writes" : "reads";
  for (size_t i = 0; i < bytes; ++i) {
    Cell& c = *cell_of(reinterpret_cast<uintptr_t>(p) + i, true);
    check(c.writer, now, c.writer.atomic ? "updates" : "writes", what_now, p);
    if (!write) {
      note_read(c, now);
      continue;
    }
    for (const Access& r : c.reader) check(r, now, r.atomic ? "updates" : "reads", what_now, p);
    c.writer = now;
  }
}

}  // namespace

void race_forget(const void* p, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    if (Cell* c = cell_of(reinterpret_cast<uintptr_t>(p) + i, false)) *c = {};
}

// Called at each access of the kernels' files; host code of theirs runs no thread.
void race_access(const void* p, size_t bytes, bool write, bool aligned, const void* code) {
  if (running == nullptr || bytes == 0) return;
  const Place place = place_of(p, bytes, write);
  if (place == Place::own) return;
  const Call call;
  const char* what = write ? "writes" : "reads";
  if (place == Place::elsewhere)
    die("the kernel %s %zu bytes at %p, which is neither device nor shared memory, at %s", what,
        bytes, p, source_of(code, Address::of_return).c_str());
  if (aligned && reinterpret_cast<uintptr_t>(p) % bytes != 0)
    die("the kernel %s %zu bytes at %p, which is misaligned, at %s", what, bytes, p,
        source_of(code, Address::of_return).c_str());
  const Thread& me = call.me();
  note(p, bytes, write,
       {.block = block->number,
        .barriers = block->barriers,
        .warp_barriers = block->warps[me.warp()].barriers,
        .thread = static_cast<uint16_t>(me.number),
        .atomic = atomic_now,
        .code = code});
}

}  // namespace cuda_on_cpu
