#define VL 4
#define MR 4
#define TABLE kConvTilesBaseline
#include "kernels/conv_tile_isa.inc"
