#pragma once

#include "kernels/conv2d.h"

// The CPU's own convolutions, on copies of what lies on the device, by the way that the process
// takes on the CPU: what an engine of the stand-in for cuDNN does when its stream gets to it.
namespace cuda_on_cpu {

enum class ConvPass : unsigned char { forward, data, weights };
struct Convolution {
  ConvPass pass;
  expunge::kernels::Conv2dShape shape;
  expunge::DType type;  // of all three
  float beta;           // 0: whatever was there is not read
  void *x, *w, *y;      // the pass writes one of them

  int64_t x_size() const { return shape.N * shape.H * shape.W * shape.C; }
  int64_t w_size() const { return shape.K * shape.R * shape.S * shape.C; }
  int64_t y_size() const { return shape.N * shape.P() * shape.Q() * shape.K; }
};
void run(const Convolution& convolution);

}  // namespace cuda_on_cpu
