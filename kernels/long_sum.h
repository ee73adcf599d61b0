#pragma once

#include <cstdint>

#include "core/device.h"

// Long sums of n numbers, each kept in two floats, which have 48 bits together: value + rest, value
// being the nearest float. The order of the additions is the caller's, so the bits are too, and the
// same on every device. On a GPU all begin at multiples of 16 bytes.
namespace expunge::kernels {

struct LongSumsAt {
  float *value, *rest;
};

// sums[i] += scale x[i]
void add_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums);
// sums[i] += scale x[i]^2
void add_squares_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums);
// y[i] += scale x[i], rounded once; x may be y
void add_scaled(Stream stream, int64_t n, double scale, const float* x, float* y);

namespace cuda {
void add_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums);
void add_squares_to(Stream stream, int64_t n, double scale, const float* x, const LongSumsAt& sums);
void add_scaled(Stream stream, int64_t n, double scale, const float* x, float* y);
}  // namespace cuda

}  // namespace expunge::kernels
