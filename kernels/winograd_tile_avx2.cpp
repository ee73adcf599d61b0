#define VL 8
#define TABLE kWinogradAvx2
#include "kernels/winograd_tile_isa.inc"
