#define VL 16
#define TABLE kNormTileAvx512
#include "kernels/norm_tile_isa.inc"
