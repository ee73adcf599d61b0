#define VL 16
#define MR 12
#define TABLE kConvTilesAvx512
#include "kernels/conv_tile_isa.inc"
