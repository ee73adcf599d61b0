// Memory of the device: NaN at first, of exact size, with zones at both ends that nobody may write.
#include "cuda_on_cpu/device.h"

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <new>
#include <utility>

#include "cuda_on_cpu/api.h"
#include "cuda_on_cpu/asan.h"
#include "cuda_on_cpu/pages.h"
#include "cuda_on_cpu/race.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/streams.h"

namespace cuda_on_cpu {
namespace {

constexpr unsigned char kZone = 0xa5;

struct Allocation {
  size_t size;
  Side side;
};
using Allocations = std::map<const unsigned char*, Allocation, std::greater<>>;

Allocations& allocations() {
  static Allocations all;
  return all;
}

int device_work = 0;      // how many DeviceWork live
size_t device_bytes = 0;  // allocated

// The allocation that begins at or before p, if p is in it or right behind it.
Allocations::const_iterator find(const void* p) {
  const auto* byte = static_cast<const unsigned char*>(p);
  const auto at = allocations().lower_bound(byte);
  if (at == allocations().end() || byte > at->first + at->second.size) return allocations().end();
  return at;
}

unsigned char* take(size_t bytes, Side side) {
  if (side == Side::device) return take_pages(bytes);
  return static_cast<unsigned char*>(::operator new (bytes, std::align_val_t{kAlign}));
}
void give(unsigned char* memory, size_t bytes, Side side) {
  if (side == Side::device) return give_pages(memory, bytes);
  ::operator delete (memory, std::align_val_t{kAlign});
}

void* allocate(size_t size, Side side) {
  if (size == 0) return nullptr;
  const DeviceWork work;  // of which this allocation is none yet
  unsigned char* memory = take(size + 2 * kAlign, side);
  unsigned char* bytes = memory + kAlign;
  std::memset(memory, kZone, kAlign);
  std::memset(bytes, 0xff, size);
  std::memset(bytes + size, kZone, kAlign);
  race_forget(bytes, size);
  ASAN_POISON_MEMORY_REGION(memory, kAlign);
  ASAN_POISON_MEMORY_REGION(bytes + size, kAlign);
  allocations()[bytes] = {size, side};
  if (side == Side::device) device_bytes += size;
  return bytes;
}

void check_zones(const unsigned char* bytes, size_t size) {
  for (size_t i = 0; i < kAlign; ++i) {
    if (bytes[i - kAlign] != kZone)
      die("%zu bytes before an allocation of %zu bytes were written", kAlign - i, size);
    if (bytes[size + i] != kZone)
      die("an allocation of %zu bytes was written %zu bytes behind its end", size, i + 1);
  }
}

// Freed memory waits, holding NaN, before it may be used again: a kernel that still uses it is
// seen. Of the device less of it, since open pages are few (pages.h).
void put_away(unsigned char* memory, size_t size, Side side) {
  struct Freed {
    std::deque<std::pair<unsigned char*, size_t>> waiting;
    size_t bytes = 0;
  };
  static auto& all = *new std::map<Side, Freed>;  // never destroyed: the leak check looks later
  auto& [waiting, bytes] = all[side];
  const size_t most = size_t{side == Side::device ? 2u : 64u} << 20;
  std::memset(memory, 0xff, size);
  ASAN_POISON_MEMORY_REGION(memory, size);
  waiting.emplace_back(memory, size);
  for (bytes += size; bytes > most; waiting.pop_front()) {
    const auto [oldest, its_size] = waiting.front();
    ASAN_UNPOISON_MEMORY_REGION(oldest, its_size);
    give(oldest, its_size, side);
    bytes -= its_size;
  }
}

void release(void* p, Side side, const char* call) {
  if (p == nullptr) return;
  auto* bytes = static_cast<unsigned char*>(p);
  const auto at = allocations().find(bytes);
  if (at == allocations().end() || at->second.side != side)
    die("%s: not the start of an allocation of this kind, or freed before", call);
  const size_t size = at->second.size;
  const DeviceWork work;
  ASAN_UNPOISON_MEMORY_REGION(bytes - kAlign, size + 2 * kAlign);
  check_zones(bytes, size);
  allocations().erase(at);
  if (side == Side::device) device_bytes -= size;
  put_away(bytes - kAlign, size + 2 * kAlign, side);
}

}  // namespace

std::recursive_mutex& machine_lock() {
  static std::recursive_mutex lock;
  return lock;
}

bool is_accessible(const void* p, size_t bytes) {
  const auto at = find(p);
  return at != allocations().end() &&
         static_cast<const unsigned char*>(p) + bytes <= at->first + at->second.size;
}

bool is_device(const void* p) {
  const auto at = find(p);
  return at != allocations().end() && at->second.side == Side::device;
}

void demand_device(const char* what, const void* p, size_t bytes) {
  if (!is_device(p)) die("%s: %p is not device memory", what, p);
  if (!is_accessible(p, bytes)) die("%s: %zu bytes, more than the allocation has", what, bytes);
}

DeviceWork::DeviceWork() {
  if (device_work++ > 0) return;
  open_pages();
  for (const auto& [bytes, a] : allocations())
    if (a.side == Side::device) ASAN_UNPOISON_MEMORY_REGION(bytes, a.size);
}

DeviceWork::~DeviceWork() {
  if (--device_work > 0) return;
  close_pages();
  for (const auto& [bytes, a] : allocations())
    if (a.side == Side::device) ASAN_POISON_MEMORY_REGION(bytes, a.size);
}

void check_pointer(const void* kernel, int argument, const void* p) {
  const Lock lock(machine_lock());
  if (p == nullptr || find(p) != allocations().end()) return;
  die("launch: argument %d is a host pointer, kernel %s", argument + 1,
      source_of(kernel, Address::of_function).c_str());
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

cudaError_t cudaMalloc(void** p, size_t bytes) {
  const Lock lock(machine_lock());
  if (device_bytes + bytes > options().memory_mb << 20) return cudaErrorMemoryAllocation;
  *p = allocate(bytes, Side::device);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  return cudaMalloc(p, bytes);
}

cudaError_t cudaMallocHost(void** p, size_t bytes) {
  const Lock lock(machine_lock());
  *p = allocate(bytes, Side::host);
  return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
  const Lock lock(machine_lock());
  run_everything();
  release(p, Side::device, "cudaFree");
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const Lock lock(machine_lock());
  enqueue(stream, [p] { release(p, Side::device, "cudaFreeAsync"); });
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* p) {
  const Lock lock(machine_lock());
  run_everything();
  release(p, Side::host, "cudaFreeHost");
  return cudaSuccess;
}
