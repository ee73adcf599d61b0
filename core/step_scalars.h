#pragma once

#include <cstdint>

namespace expunge {

// What changes from step to step, in one place that kernels read through a pointer: nothing else of
// a step's arguments changes, so a CUDA graph of it can be replayed.
struct StepScalars {
  uint64_t seed = 0;
  int64_t step = 0;  // optimizer steps done before this one
  int32_t epoch = 0;
  int32_t pass = 0;  // which forward pass of the step: part of the key of random draws
  float lr = 0;
  float bias1 = 1;       // 1 - beta1^(step+1), Adam's corrections
  float bias2 = 1;       // 1 - beta2^(step+1)
  float grad_scale = 1;  // the gradient is multiplied by this before use: clipping
};

}  // namespace expunge
