#pragma once

#include "data/dataset.h"

namespace expunge::data {

// The procedural data set: ten classes of textured shapes, 32x32 RGB, 4,000 training and 1,000 test
// images, drawn from a fixed seed, the same bits everywhere. Per-sample nuisance (colours,
// position, clutter, noise and a share of ambiguous samples) is strong enough that a network
// memorises its training images, so membership shows: training accuracy climbs well above test
// accuracy.
Dataset make_builtin();

}  // namespace expunge::data
