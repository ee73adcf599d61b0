// Shared memory of the running block: arrays of exact size on the heap, so that the address
// sanitizer and the race check see what lies beyond.
#include <cstring>
#include <new>

#include "cuda_on_cpu/race.h"
#include "cuda_on_cpu/report.h"
#include "cuda_on_cpu/scheduler.h"

namespace cuda_on_cpu {
namespace {

constexpr size_t kMostStatic = 48 << 10;  // of kMostShared, for arrays of fixed size

const char dynamic_key = 0;

SharedArray* find(const void* key) {
  for (SharedArray& a : block->shared)
    if (a.key == key) return &a;
  return nullptr;
}

void* make(const void* key, size_t size, size_t align) {
  block->shared_bytes += size;
  if (block->shared_bytes > kMostShared)
    die("%zu bytes of shared memory, at most %zu", block->shared_bytes, kMostShared);
  auto* bytes = static_cast<unsigned char*>(::operator new (size, std::align_val_t{align}));
  std::memset(bytes, 0xff, size);  // NaN: on the GPU it holds what was there before
  race_forget(bytes, size);
  block->shared.push_back({key, bytes, size, align});
  return bytes;
}

}  // namespace

void* static_shared(const void* key, size_t bytes, size_t align) {
  const Call call;
  if (const SharedArray* array = find(key)) return array->bytes;
  if (bytes > kMostStatic) die("a shared array of %zu bytes, at most %zu", bytes, kMostStatic);
  return make(key, bytes, align < 16 ? 16 : align);
}

void* dynamic_shared() {
  if (const SharedArray* array = find(&dynamic_key)) return array->bytes;
  if (block->grid->shared_bytes == 0)
    die("the kernel uses KERNEL_DYN_SHARED, its launch gives 0 bytes");
  return make(&dynamic_key, block->grid->shared_bytes, 16);
}

void release_shared() {
  for (const SharedArray& a : block->shared) ::operator delete (a.bytes, std::align_val_t{a.align});
  block->shared.clear();
  block->shared_bytes = 0;
}

}  // namespace cuda_on_cpu
