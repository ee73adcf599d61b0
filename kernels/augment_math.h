#pragma once

#include <cstdint>

#include "core/hd.h"

namespace expunge::math {

// y = (x / 255 - mean) / std for a pixel x
EXPUNGE_HD float normalise(uint8_t x, float mean, float std) {
  return (static_cast<float>(x) / 255.0f - mean) / std;
}

}  // namespace expunge::math
