#define TABLE kAlignLoopsBaseline
#include "kernels/grad_alignment_isa.inc"
