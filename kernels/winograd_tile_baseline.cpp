#define VL 4
#define TABLE kWinogradBaseline
#include "kernels/winograd_tile_isa.inc"
