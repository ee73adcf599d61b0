#define VL 16
#define TABLE kNormTilesAvx512
#include "kernels/norm_tile_isa.inc"
