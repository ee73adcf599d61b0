#define VL 8
#define TABLE kNormTileAvx2
#include "kernels/norm_tile_isa.inc"
