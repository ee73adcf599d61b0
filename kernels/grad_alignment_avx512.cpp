#define TABLE kAlignLoopsAvx512
#include "kernels/grad_alignment_isa.inc"
