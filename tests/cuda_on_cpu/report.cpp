#include "cuda_on_cpu/report.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda_on_cpu/asan.h"
#include "cuda_on_cpu/scheduler.h"

extern "C" const char __executable_start;

namespace cuda_on_cpu {
namespace {

const char* order_name() {
  switch (options().order) {
    case Order::ascending:
      return "ascending";
    case Order::descending:
      return "descending";
    case Order::shuffled:
      return "shuffled";
  }
  return "?";
}

void print_context() {
  if (block == nullptr) return;
  std::fprintf(stderr, "  in %s\n", source_of(block->grid->kernel, Address::of_function).c_str());
  const Here h = here;
  std::fprintf(stderr, "  block (%u,%u,%u), thread (%u,%u,%u); order %s, seed %llu\n", h.block.x,
               h.block.y, h.block.z, h.thread.x, h.thread.y, h.thread.z, order_name(),
               static_cast<unsigned long long>(options().seed));
}

#if defined(CUDA_ON_CPU_ASAN)
[[maybe_unused]] const bool sanitizer_tells_context = [] {
  __sanitizer_set_death_callback(print_context);
  return true;
}();
#endif

}  // namespace

std::string source_of(const void* code, Address kind) {
  // The binary's own addresses start at 0: it is position independent, or the start is its address.
  const auto start = reinterpret_cast<uintptr_t>(&__executable_start);
  const uintptr_t offset = reinterpret_cast<uintptr_t>(code) - (start < 0x1000000 ? 0 : start) -
                           (kind == Address::of_return);
  char command[128];
  std::snprintf(command, sizeof command, "addr2line -fCs -e /proc/%d/exe %#lx 2>&1",
                static_cast<int>(getpid()), static_cast<unsigned long>(offset));
  std::string name, line;
  if (FILE* pipe = popen(command, "r")) {
    char text[512];
    while (std::fgets(text, sizeof text, pipe) != nullptr) {
      std::string& part = name.empty() ? name : line;
      part = text;
      part.erase(part.find_last_not_of('\n') + 1);
    }
    pclose(pipe);
  }
  for (const char* part : {"(anonymous namespace)::", "expunge::", "kernels::"})
    for (size_t at = 0; (at = name.find(part)) != std::string::npos;)
      name.erase(at, std::strlen(part));
  line.erase(line.find(" (discriminator") == std::string::npos ? line.size()
                                                               : line.find(" (discriminator"));
  return line + " in " + name;
}

void die(const char* format, ...) {
  std::fprintf(stderr, "cuda_on_cpu: ");
  va_list values;
  va_start(values, format);
  std::vfprintf(stderr, format, values);
  va_end(values);
  std::fprintf(stderr, "\n");
  print_context();
  std::fflush(nullptr);
  std::abort();
}

}  // namespace cuda_on_cpu
