#define VL 8
#define TABLE kNormTilesAvx2
#include "kernels/norm_tile_isa.inc"
