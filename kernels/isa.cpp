#include "kernels/isa.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "core/check.h"

namespace expunge::kernels {
namespace {

constexpr Isa kAll[] = {Isa::avx512, Isa::avx2, Isa::baseline};  // widest first

Isa choose() {
  const char* wanted = std::getenv("EXPUNGE_ISA");
  for (Isa isa : kAll) {
    if (wanted == nullptr || *wanted == '\0') {
      if (isa_supported(isa)) return isa;
    } else if (std::string_view(wanted) == isa_name(isa)) {
      if (isa_supported(isa)) return isa;
      fail(ExitCode::device, "EXPUNGE_ISA={}: this CPU does not have it", wanted);
    }
  }
  fail(ExitCode::usage, "EXPUNGE_ISA={}: expected baseline, avx2 or avx512", wanted);
}

std::atomic<int> chosen{-1};

}  // namespace

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::baseline:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
#else
  return isa == Isa::baseline;
#endif
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

Isa isa() {
  int now = chosen.load(std::memory_order_relaxed);
  if (now < 0) {
    now = static_cast<int>(choose());
    chosen.store(now, std::memory_order_relaxed);
  }
  return static_cast<Isa>(now);
}

void set_isa(Isa isa) {
  EXPUNGE_CHECK(isa_supported(isa), "set_isa: this CPU has no {}", isa_name(isa));
  chosen.store(static_cast<int>(isa), std::memory_order_relaxed);
}

}  // namespace expunge::kernels
