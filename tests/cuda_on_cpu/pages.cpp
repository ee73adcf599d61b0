#include "cuda_on_cpu/pages.h"

#include <sys/mman.h>

#include <csignal>
#include <cstdint>
#include <map>
#include <new>
#include <vector>

#include "cuda_on_cpu/asan.h"
#include "cuda_on_cpu/machine_side.h"
#include "cuda_on_cpu/report.h"

namespace cuda_on_cpu {

#if defined(CUDA_ON_CPU_ASAN)

unsigned char* take_pages(size_t bytes) {
  return static_cast<unsigned char*>(::operator new (bytes, std::align_val_t{kAlign}));
}
void give_pages(unsigned char* memory, size_t) {
  ::operator delete (memory, std::align_val_t{kAlign});
}
void open_pages() {}
void close_pages() {}

#else

namespace {

constexpr size_t kPage = 4096, kReserved = size_t{1} << 37;

size_t whole_pages(size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

struct Pages {
  unsigned char* begin;
  size_t used = 0, in_use = 0;  // of all that were ever taken; of those that were not given back
  bool open = true;
  std::map<size_t, std::vector<unsigned char*>> free{};  // by size

  Pages();
  bool has(const void* p) const {
    const auto at = reinterpret_cast<uintptr_t>(p), from = reinterpret_cast<uintptr_t>(begin);
    return at >= from && at < from + kReserved;
  }
  void allow(int access) const {
    if (used > 0 && mprotect(begin, used, access) != 0) die("mprotect of %zu bytes failed", used);
  }
};

Pages& pages() {
  static auto& all = *new Pages;  // never destroyed: memory may be freed at the very end
  return all;
}

struct sigaction others {};  // what was there before ours

// The host's, of memory that is closed; or a kernel's, of memory that nobody allocated.
void on_access(int signal, siginfo_t* info, void*) {
  if (pages().has(info->si_addr))
    die(pages().open ? "device memory at %p, which nobody has allocated"
                     : "host code touches device memory at %p, without a copy",
        info->si_addr);
  sigaction(signal, &others, nullptr);  // some other fault: it comes again
}

Pages::Pages() {
  void* all =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) die("no address space for the device's memory");
  begin = static_cast<unsigned char*>(all);
}

// Anew each time: doctest has a handler of its own for each test case.
void watch() {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_sigaction = on_access;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before);
  if (before.sa_sigaction != on_access) others = before;
}

}  // namespace

// Open: it is called while DeviceWork lives.
unsigned char* take_pages(size_t bytes) {
  const size_t size = whole_pages(bytes);
  Pages& all = pages();
  all.in_use += size;
  std::vector<unsigned char*>& free = all.free[size];
  if (free.empty()) {
    if (all.used + size > kReserved) die("the device has no %zu bytes any more", bytes);
    unsigned char* fresh = all.begin + all.used;
    if (mprotect(fresh, size, PROT_READ | PROT_WRITE) != 0) die("no memory for %zu bytes", bytes);
    all.used += size;
    return fresh;
  }
  unsigned char* memory = free.back();
  free.pop_back();
  return memory;
}

void give_pages(unsigned char* memory, size_t bytes) {
  const size_t size = whole_pages(bytes);
  madvise(memory, size, MADV_DONTNEED);
  pages().in_use -= size;
  pages().free[size].push_back(memory);
}

void open_pages() {
  Pages& all = pages();
  if (!all.open) all.allow(PROT_READ | PROT_WRITE);
  all.open = true;
}
void close_pages() {
  Pages& all = pages();
  if (all.in_use > options().closed_mb << 20) return;
  all.allow(PROT_NONE);
  all.open = false;
  watch();
}

#endif

}  // namespace cuda_on_cpu
