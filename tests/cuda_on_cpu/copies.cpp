// Copies beside a thread: kernels/async_copy.cuh.
#include <bit>

#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/scheduler.h"

namespace cuda_on_cpu {

bool copies_early(const AsyncCopy& copy) {
  constexpr uintptr_t kAligned = 16;
  if ((std::bit_cast<uintptr_t>(copy.to) | std::bit_cast<uintptr_t>(copy.from)) % kAligned != 0)
    die("a copy from %p to %p: not at multiples of 16 bytes", static_cast<const void*>(copy.from),
        static_cast<const void*>(copy.to));
  const Options& o = options();
  return o.order == Order::ascending || (o.order == Order::shuffled && o.seed % 2 == 0);
}

void queue_copy(const AsyncCopy& copy) {
  const Call call;
  call.me().copies.push_back(copy);
}

void close_copies() {
  const Call call;
  Thread& me = call.me();
  me.groups.push_back(me.copies.size());
}

AsyncCopy take_copy(unsigned groups) {
  const Call call;
  Thread& me = call.me();
  const size_t closed = me.groups.size(),
               due = closed > groups ? me.groups[closed - groups - 1] : size_t{0};
  return me.copied < due ? me.copies[me.copied++] : AsyncCopy{};
}

}  // namespace cuda_on_cpu
