#define VL 8
#define MR 6
#define TABLE kConvTilesAvx2
#include "kernels/conv_tile_isa.inc"
