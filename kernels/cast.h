#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"

namespace expunge::kernels {

// Between the types f32, bf16 and f16, and between numbers of channels:
//   to[r, c] = beta to[r, c] + from[r, c],   from[r, c] = 0 where c >= from_channels
// from: (rows, from_channels); to: (rows, to_channels). Sums are f32, then rounded.
struct CastShape {
  int64_t rows, from_channels, to_channels;
};
void cast(Stream stream, const CastShape& shape, ConstValues from, float beta, Values to);

namespace cuda {
void cast(Stream stream, const CastShape& shape, ConstValues from, float beta, Values to);
}

}  // namespace expunge::kernels
