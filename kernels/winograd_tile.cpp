#include "kernels/winograd_tile.h"

#include "kernels/isa.h"

namespace expunge::kernels {

const WinogradTransforms& winograd_transforms() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::baseline:
      return kWinogradBaseline;
    case Isa::avx2:
      return kWinogradAvx2;
    case Isa::avx512:
      return kWinogradAvx512;
  }
#endif
  return kWinogradBaseline;
}

}  // namespace expunge::kernels
