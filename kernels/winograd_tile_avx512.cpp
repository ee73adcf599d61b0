#define VL 16
#define TABLE kWinogradAvx512
#include "kernels/winograd_tile_isa.inc"
