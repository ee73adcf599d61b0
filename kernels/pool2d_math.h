#pragma once

#include <cstdint>

#include "core/hd.h"
#include "kernels/pool2d.h"

namespace expunge::math {

// Input rows (or columns) [begin, end) of output p, cut to the image.
struct Window {
  int64_t begin, end;
};

EXPUNGE_HD Window pool_window(int64_t p, int64_t kernel, int64_t stride, int64_t pad, int64_t in) {
  const int64_t begin = p * stride - pad, end = begin + kernel;
  return {begin > 0 ? begin : 0, end < in ? end : in};
}

EXPUNGE_HD Window average_window(const kernels::AveragePool2dShape& s, int64_t p, int64_t in,
                                 int64_t out) {
  if (s.kernel > 0) return pool_window(p, s.kernel, s.stride, s.pad, in);
  return {p * in / out, ((p + 1) * in + out - 1) / out};
}

EXPUNGE_HD float average_weight(const kernels::AveragePool2dShape& s, Window y, Window x) {
  const int64_t count = s.kernel > 0 ? s.kernel * s.kernel : (y.end - y.begin) * (x.end - x.begin);
  return 1.0f / static_cast<float>(count);
}

// The other way: outputs [begin, end) whose windows may hold input h.
EXPUNGE_HD Window pool_outputs(int64_t h, int64_t kernel, int64_t stride, int64_t pad,
                               int64_t out) {
  const int64_t first = h + pad - kernel + 1, last = (h + pad) / stride + 1;
  return {first > 0 ? (first + stride - 1) / stride : 0, last < out ? last : out};
}

EXPUNGE_HD Window average_outputs(const kernels::AveragePool2dShape& s, int64_t h, int64_t in,
                                  int64_t out) {
  if (s.kernel > 0) return pool_outputs(h, s.kernel, s.stride, s.pad, out);
  return {h * out / in, ((h + 1) * out + in - 1) / in};
}

// Whether x takes the place of the largest so far: it is larger, or no number.
EXPUNGE_HD bool pool_better(float x, float best) {
  return !(x <= best) & (best == best);
}

}  // namespace expunge::math
