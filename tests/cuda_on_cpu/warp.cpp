// Operations of a warp: barrier, shuffle, ballot, product of matrices.
#include <cstring>

#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/scheduler.h"

namespace cuda_on_cpu {
namespace {

std::vector<std::unique_ptr<WarpOperation>> operations;
std::vector<WarpOperation*> unused;

WarpOperation& new_operation(uint32_t mask, Site site) {
  if (unused.empty()) {
    operations.push_back(std::make_unique<WarpOperation>());
    unused.push_back(operations.back().get());
  }
  WarpOperation& op = *unused.back();
  unused.pop_back();
  op.mask = mask, op.arrived = op.read = 0, op.site = site;
  return op;
}

bool same(Site a, Site b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

// The operation that these lanes are meeting for, begun by the first of them.
WarpOperation& find_operation(Warp& warp, const Thread& me, uint32_t mask, Site site) {
  if ((mask & me.bit()) == 0)
    die("%s:%u: lane %u is not in the mask %08x it gives", site.file, site.line, me.lane(), mask);
  if ((mask & warp.returned) != 0)
    die("%s:%u: mask %08x names lanes %08x, which have returned", site.file, site.line, mask,
        mask & warp.returned);
  for (WarpOperation* op : warp.open) {
    const bool here_too = same(op->site, site);
    if (op->mask == mask && here_too) return *op;
    if (op->mask == mask)
      die("divergent warp: lane %u is at %s:%u, lanes %08x wait at %s:%u", me.lane(), site.file,
          site.line, op->arrived, op->site.file, op->site.line);
    if (here_too && (op->mask & mask) != 0)
      die("%s:%u: lane %u gives mask %08x, lanes %08x gave %08x", site.file, site.line, me.lane(),
          mask, op->arrived, op->mask);
  }
  warp.open.push_back(&new_operation(mask, site));
  return *warp.open.back();
}

// Returns when all lanes of the mask have come.
WarpOperation& meet(Thread& me, uint32_t mask, uint64_t bits, Site site) {
  Warp& warp = block->warps[me.warp()];
  WarpOperation& op = find_operation(warp, me, mask, site);
  op.brought[me.lane()] = bits;
  op.arrived |= me.bit();
  me.state = State::at_warp_operation;
  me.site = site;
  me.mask = mask;
  if (op.arrived == mask) {
    std::erase(warp.open, &op);
    const unsigned first = me.warp() * kWarp;
    for (uint32_t left = mask; left != 0; left &= left - 1)
      make_ready(block->threads[first + static_cast<unsigned>(std::countr_zero(left))]);
  }
  wait(me);
  return op;
}

void leave(const Thread& me, WarpOperation& op) {
  op.read |= me.bit();
  if (op.read == op.mask) unused.push_back(&op);
}

}  // namespace

void warp_barrier(uint32_t mask, Site site) {
  if (is_skipped(site)) return;
  const Call call;
  WarpOperation& op = meet(call.me(), mask, 0, site);
  if (op.read == 0) ++block->warps[call.me().warp()].barriers;  // the first to go on
  leave(call.me(), op);
}

uint64_t shuffle(uint32_t mask, uint64_t bits, unsigned source, Site site) {
  const Call call;
  WarpOperation& op = meet(call.me(), mask, bits, site);
  if ((mask >> source & 1) == 0)
    die("%s:%u: lane %u reads lane %u, which is not in the mask %08x", site.file, site.line,
        call.me().lane(), source, mask);
  const uint64_t value = op.brought[source];
  leave(call.me(), op);
  return value;
}

uint32_t ballot(uint32_t mask, bool predicate, Site site) {
  const Call call;
  WarpOperation& op = meet(call.me(), mask, predicate ? 1 : 0, site);
  uint32_t votes = 0;
  for (unsigned i = 0; i < kWarp; ++i)
    if ((mask >> i & 1) != 0 && op.brought[i] != 0) votes |= 1u << i;
  leave(call.me(), op);
  return votes;
}

namespace {

constexpr uint32_t kAllLanes = 0xffffffffu;

// What a lane brings to a product of matrices. Lane 4 g + t has rows g of A and D and column g of
// B.
struct Fragments {
  const uint32_t *a, *b;
};

struct Words {
  int numbers;  // of a word: 1 or 2
  NumberOfWord number;
};

// Of row i (0: g, 1: g + 8) of lane `row` and the column of lane `column`, on top of `sum`.
float row_times_column(float sum, const WarpOperation& op, unsigned row, int i, unsigned column,
                       const Words& words) {
  double total = double{sum};
  for (int j = 0; j < 2; ++j)
    for (unsigned t = 0; t < 4; ++t) {
      const uint32_t a = std::bit_cast<const Fragments*>(op.brought[row + t])->a[2 * j + i],
                     b = std::bit_cast<const Fragments*>(op.brought[column + t])->b[j];
      for (int half = 0; half < words.numbers; ++half)
        total += double{words.number(a, half)} * double{words.number(b, half)};
    }
  return static_cast<float>(total);
}

}  // namespace

void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       int numbers_of_word, NumberOfWord number, Site site) {
  const Call call;
  const Fragments mine{a, b};
  const Words words{numbers_of_word, number};
  WarpOperation& op = meet(call.me(), kAllLanes, std::bit_cast<uint64_t>(&mine), site);
  const unsigned g = call.me().lane() / 4, t = call.me().lane() % 4;
  for (int i = 0; i < 2; ++i)
    for (unsigned h = 0; h < 2; ++h) {
      float& of_d = d[2 * i + static_cast<int>(h)];
      of_d = row_times_column(of_d, op, 4 * g, i, 4 * (2 * t + h), words);
    }
  leave(call.me(), op);
  leave(call.me(), meet(call.me(), kAllLanes, 0, site));  // others still read a and b
}

unsigned lane() {
  return running->lane();
}

void note_start() {
  running->started = true;
}

void check_row(const void* row, Site site) {
  constexpr uintptr_t kAligned = 16;
  if (std::bit_cast<uintptr_t>(row) % kAligned != 0)
    die("%s:%u: a row of a matrix at %p: not at a multiple of 16 bytes", site.file, site.line, row);
}

}  // namespace cuda_on_cpu
