#pragma once

#include "data/image.h"

namespace expunge::data {

// An image of the size `to`: the largest centred window of that shape in whole pixels, scaled by a
// triangle filter (bilinear; an average over the window of a pixel where it shrinks), each channel
// by itself.
Image resized(const Image& image, ImageSize to);

}  // namespace expunge::data
