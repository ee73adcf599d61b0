#include "kernels/conv_tile.h"

#include "kernels/isa.h"

namespace expunge::kernels {

const ConvTiles& conv_tiles() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::baseline:
      return kConvTilesBaseline;
    case Isa::avx2:
      return kConvTilesAvx2;
    case Isa::avx512:
      return kConvTilesAvx512;
  }
#endif
  return kConvTilesBaseline;
}

}  // namespace expunge::kernels
