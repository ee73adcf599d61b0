#pragma once

#include "cuda_on_cpu/vendor/convolution.h"
#include "cuda_on_cpu/vendor/descriptor.h"

namespace cuda_on_cpu {

// The convolution that an operation's descriptor describes, without its pointers; what does not
// fit together, or is not as we lay it out, ends the program.
Convolution convolution_of(const Node& operation);
// What all its tensors promise to be aligned to, in bytes.
int64_t alignment_of(const Node& operation);
// The same with the pointers that a variant pack has for it, which are looked at.
Convolution convolution_of(const Node& operation, const Node& pack);

}  // namespace cuda_on_cpu
