#pragma once

#include <vector>

#include "kernels/batch_norm.h"
#include "kernels/conv2d.h"
#include "kernels/pool2d.h"

namespace expunge::nn {

// The shapes of a forward pass in the order of its operations, for those who count multiply-adds
// or time kernels on a network's own shapes (Ctx::trace).
struct Trace {
  std::vector<kernels::Conv2dShape> conv2d;  // linear layers too: H = W = R = S = 1
  struct BatchNorm {
    kernels::BatchNormShape shape;
    bool residual;
    int64_t pooled = 0;  // columns of images that are max-pooled in the same operation
  };
  std::vector<BatchNorm> batch_norm;
  std::vector<kernels::Pool2dShape> max_pool2d;
  std::vector<kernels::AveragePool2dShape> average_pool2d;
};

}  // namespace expunge::nn
