#pragma once

#include "kernels/grad_alignment.h"

// The loops of grad_alignment over a short run, compiled once per instruction set from
// grad_alignment_isa.inc. They are made of + - * / and sqrt without contraction, so all of them
// give the same bits.
namespace expunge::kernels {

struct AlignLoops {
  void (*step)(int64_t n, const GradAlignment& a, const StudentTables& tables);
  void (*focus)(int64_t n, const GradAlignment& a, const StudentTables& tables, float* phi);
  // G(z) - 1/2
  void (*halves)(const math::StudentCubic* table, int64_t n, const float* z, float* half);
};

extern const AlignLoops kAlignLoopsBaseline, kAlignLoopsAvx2, kAlignLoopsAvx512;

const AlignLoops& align_loops();  // of isa()

}  // namespace expunge::kernels
