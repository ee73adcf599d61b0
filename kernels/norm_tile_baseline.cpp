#define VL 4
#define TABLE kNormTilesBaseline
#include "kernels/norm_tile_isa.inc"
