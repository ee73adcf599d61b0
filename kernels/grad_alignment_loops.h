#pragma once

#include "kernels/grad_alignment.h"

// The loops of grad_alignment over a short run, compiled once per instruction set from
// grad_alignment_isa.inc. They are made of + - * / and sqrt without contraction, so all of them
// give the same bits.
namespace expunge::kernels {

struct AlignLoops {
  void (*signals)(const StatisticsRule& rule, int64_t n, const float* g, const StatisticsState& s,
                  float* z);
  void (*normal_halves)(int64_t n, const float* z, float* half);
  void (*focus)(int64_t n, const float* half_f, const float* half_r, float* phi);
  void (*conjunction)(int64_t n, const float* g_f, const float* g_r, float* w);
  void (*prob)(int64_t n, float q, const float* phi, float* w);
  // d = beta g_r + (1 - beta) g_f, times w where it is given
  void (*direction)(int64_t n, float beta, const float* g_f, const float* g_r, const float* w,
                    float* d);
  // w: the share of the optimizer's step, or null
  void (*update)(const UpdateRule& rule, int64_t n, const float* d, const float* w, float* value,
                 float* first, float* second);
};

extern const AlignLoops kAlignLoopsBaseline, kAlignLoopsAvx2, kAlignLoopsAvx512;

const AlignLoops& align_loops();  // of isa()

}  // namespace expunge::kernels
