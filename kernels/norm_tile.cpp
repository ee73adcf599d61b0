#include "kernels/norm_tile.h"

#include "kernels/isa.h"

namespace expunge::kernels {

void norm_tile(const NormTile& tile) {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return kNormTileAvx512(tile);
  if (isa() == Isa::avx2) return kNormTileAvx2(tile);
#endif
  kNormTileBaseline(tile);
}

}  // namespace expunge::kernels
