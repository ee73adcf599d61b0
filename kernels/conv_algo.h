#pragma once

#include <optional>
#include <string_view>

#include "kernels/conv2d.h"

// Which algorithm conv2d.h uses. Both are exact in real arithmetic; they differ in the last digits,
// so a run records the choice. On the CPU it depends on the shape of a layer, never on the range of
// images, the batch or the thread count.
namespace expunge::kernels {

enum class ConvAlgo : unsigned char { automatic, direct, winograd };

std::optional<ConvAlgo> conv_algo_of(std::string_view name);  // auto, direct, winograd
const char* conv_algo_name(ConvAlgo algo);

// Takes a choice for the process: automatic (the faster one by a measured table), direct, or
// winograd wherever it applies.
void set_conv_algo(ConvAlgo algo);
ConvAlgo conv_algo();

// What the choice comes to for this shape: direct or winograd. On the CPU the gradients use what
// forward uses. On a GPU there is a choice in strict fp32 alone; automatic takes the faster, as it
// was measured for a pass and number of images, where this says winograd.
ConvAlgo conv_algo_for(const Conv2dShape& shape, ConvAlgo wanted = conv_algo());

}  // namespace expunge::kernels
