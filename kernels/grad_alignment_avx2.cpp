#define TABLE kAlignLoopsAvx2
#include "kernels/grad_alignment_isa.inc"
