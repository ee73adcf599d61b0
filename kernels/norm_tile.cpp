#include "kernels/norm_tile.h"

#include "kernels/isa.h"

namespace expunge::kernels {

const NormTiles& norm_tiles() {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return kNormTilesAvx512;
  if (isa() == Isa::avx2) return kNormTilesAvx2;
#endif
  return kNormTilesBaseline;
}

}  // namespace expunge::kernels
