#pragma once

#include <span>
#include <utility>

#include "kernels/gates.h"
#include "kernels/tiles.cuh"

namespace expunge::kernels {

// body(arrays) for as many of the tensors as one launch takes; those are left out for which
// takes(size) is false, and those without elements.
template <class Takes, class Body>
void for_launches(std::span<const GateTensor> tensors, Takes takes, Body body) {
  TiledArrays arrays;
  for (const GateTensor& t : tensors) {
    if (t.size == 0 || !takes(t.size)) continue;
    arrays.add(t.offset, t.size);
    if (arrays.count == TiledArrays::kMost) body(std::exchange(arrays, TiledArrays{}));
  }
  if (arrays.count > 0) body(arrays);
}

}  // namespace expunge::kernels
