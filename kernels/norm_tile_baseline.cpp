#define VL 4
#define TABLE kNormTileBaseline
#include "kernels/norm_tile_isa.inc"
