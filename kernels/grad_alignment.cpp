#include "kernels/grad_alignment.h"

#include "core/parallel.h"
#include "kernels/grad_alignment_loops.h"
#include "kernels/isa.h"

namespace expunge::kernels {
namespace {

// Of the calling thread: the ranges run on several.
StudentTables tables_of(const GradAlignment& a) {
  return student_tables({}, a.rule_f.degrees, a.rule_r.degrees);
}

}  // namespace

GradAlignment from(const GradAlignment& a, int64_t i) {
  const auto move = [i](auto* p) { return p == nullptr ? nullptr : p + i; };
  GradAlignment b = a;
  b.g_f += i, b.g_r += i;
  for (StatisticsState* s : {&b.state_f, &b.state_r})
    s->s0 = move(s->s0), s->s1 = move(s->s1), s->s2 = move(s->s2);
  b.gate.element += i;
  b.weight = move(a.weight);
  b.value += i, b.first += i, b.second = move(a.second);
  return b;
}

void grad_alignment(Stream stream, int64_t n, const GradAlignment& a) {
  const auto on_cpu = [&] {
    if (!math::takes_step(a.losses, kStepLosses)) return;
    const AlignLoops& loops = align_loops();
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      loops.step(end - begin, from(a, begin), tables_of(a));
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::grad_alignment(stream, n, a); });
}

void focus_vector(Stream stream, int64_t n, const GradAlignment& a, float* phi) {
  const auto on_cpu = [&] {
    if (!math::takes_step(a.losses, kStepLosses)) return;
    const AlignLoops& loops = align_loops();
    parallel_ranges(n, [&](int64_t begin, int64_t end) {
      loops.focus(end - begin, from(a, begin), tables_of(a), phi + begin);
    });
  };
  dispatch(stream, on_cpu, [&] { cuda::focus_vector(stream, n, a, phi); });
}

void half_cdf(float degrees, int64_t n, const float* z, float* half) {
  align_loops().halves(student_table(degrees), n, z, half);
}

const AlignLoops& align_loops() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::baseline:
      return kAlignLoopsBaseline;
    case Isa::avx2:
      return kAlignLoopsAvx2;
    case Isa::avx512:
      return kAlignLoopsAvx512;
  }
#endif
  return kAlignLoopsBaseline;
}

}  // namespace expunge::kernels
