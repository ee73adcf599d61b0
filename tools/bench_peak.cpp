#include "core/parallel.h"
#include "kernels/isa.h"
#include "tools/bench_measure.h"

namespace expunge::tools {
namespace {

constexpr int kChains = 12;  // independent multiply-adds: more than latency times ports
constexpr int64_t kRounds = 100'000;
constexpr int kPasses = 60;  // of about a millisecond: one of them finds the cores free

// x = a x + b on kChains vectors of `width` floats, kRounds times. A macro: a function for another
// instruction set cannot inline a common body without losing its vectors. Needs
// -ffp-contract=fast, so that a x + b is one instruction where there is one.
#define EXPUNGE_MULTIPLY_ADD(name, attribute, width)                                    \
  attribute float name(float a, float b) {                                              \
    typedef float Vec __attribute__((vector_size((width) * sizeof(float))));            \
    Vec x[kChains], va, vb;                                                             \
    for (int j = 0; j < (width); ++j) va[j] = a, vb[j] = b;                             \
    for (int i = 0; i < kChains; ++i) x[i] = vb;                                        \
    for (int64_t round = 0; round < kRounds; ++round) {                                 \
      _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) x[i] = va * x[i] + vb; \
    }                                                                                   \
    float sum = 0;                                                                      \
    for (int i = 0; i < kChains; ++i)                                                   \
      for (int j = 0; j < (width); ++j) sum += x[i][j];                                 \
    return sum;                                                                         \
  }
EXPUNGE_MULTIPLY_ADD(multiply_add_baseline, , 4)
#if defined(__x86_64__)
EXPUNGE_MULTIPLY_ADD(multiply_add_avx2, __attribute__((target("avx2,fma"))), 8)
EXPUNGE_MULTIPLY_ADD(multiply_add_avx512, __attribute__((target("avx512f"))), 16)
#endif
#undef EXPUNGE_MULTIPLY_ADD

struct Loop {
  float (*run)(float a, float b);
  int width;
};

Loop loop_of(kernels::Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case kernels::Isa::avx512:
      return {multiply_add_avx512, 16};
    case kernels::Isa::avx2:
      return {multiply_add_avx2, 8};
#else
    case kernels::Isa::avx512:
    case kernels::Isa::avx2:
#endif
    case kernels::Isa::baseline:
      break;
  }
  return {multiply_add_baseline, 4};
}

}  // namespace

double peak_gflops() {
  const Loop loop = loop_of(kernels::isa());
  const int64_t chunks = int64_t{8} * thread_count();
  volatile float a = 0.5f, b = 1.0f;  // volatile: the compiler must not know the sums
  volatile float sink = 0;
  const Timing time = time_calls(2, kPasses, [&] {
    const float va = a, vb = b;
    parallel_for(chunks, [&](int64_t) {
      if (loop.run(va, vb) < 0) sink = 1;
    });
  });
  return 2e-6 * static_cast<double>(chunks * kRounds * kChains * loop.width) / time.min_ms;
}

}  // namespace expunge::tools
