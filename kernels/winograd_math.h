#pragma once

#include "core/hd.h"

// The one-dimensional transforms of Winograd's F(4x4, 3x3) with the points 0, 1, -1, 2, -2 and
// infinity (winograd_tile.h): out[i os], from in[j is]. V: a float, or a vector of them.
namespace expunge::math {

// B^T =  4  0 -5  0  1  0
//        0 -4 -4  1  1  0
//        0  4 -4 -1  1  0
//        0 -2 -1  2  1  0
//        0  2 -1 -2  1  0
//        0  4  0 -5  0  1
template <class V>
EXPUNGE_HD void transform_input(const V* in, int is, V* out, int os) {
  const V d0 = in[0], d1 = in[is], d2 = in[2 * is], d3 = in[3 * is], d4 = in[4 * is],
          d5 = in[5 * is];
  const V even1 = d4 - 4.0f * d2, odd1 = d3 - 4.0f * d1, even2 = d4 - d2, odd2 = 2.0f * (d3 - d1);
  out[0] = 4.0f * d0 - 5.0f * d2 + d4;
  out[os] = even1 + odd1;
  out[2 * os] = even1 - odd1;
  out[3 * os] = even2 + odd2;
  out[4 * os] = even2 - odd2;
  out[5 * os] = 4.0f * d1 - 5.0f * d3 + d5;
}

// A^T =  1  1  1  1  1  0
//        0  1 -1  2 -2  0
//        0  1  1  4  4  0
//        0  1 -1  8 -8  1
template <class V>
EXPUNGE_HD void transform_output(const V* in, int is, V* out, int os) {
  const V sum1 = in[is] + in[2 * is], difference1 = in[is] - in[2 * is],
          sum2 = in[3 * is] + in[4 * is], difference2 = in[3 * is] - in[4 * is];
  out[0] = in[0] + sum1 + sum2;
  out[os] = difference1 + 2.0f * difference2;
  out[2 * os] = sum1 + 4.0f * sum2;
  out[3 * os] = difference1 + 8.0f * difference2 + in[5 * is];
}

// A, the gradient of the one above
template <class V>
EXPUNGE_HD void transform_output_gradient(const V* in, int is, V* out, int os) {
  const V y0 = in[0], y1 = in[is], y2 = in[2 * is], y3 = in[3 * is];
  const V even1 = y0 + y2, odd1 = y1 + y3, even2 = y0 + 4.0f * y2, odd2 = 2.0f * y1 + 8.0f * y3;
  out[0] = y0;
  out[os] = even1 + odd1;
  out[2 * os] = even1 - odd1;
  out[3 * os] = even2 + odd2;
  out[4 * os] = even2 - odd2;
  out[5 * os] = y3;
}

// G =  1/4     0     0
//     -1/6  -1/6  -1/6
//     -1/6   1/6  -1/6
//     1/24  1/12   1/6
//     1/24 -1/12   1/6
//        0     0     1
template <class V>
EXPUNGE_HD void transform_weights(const V* in, int is, V* out, int os) {
  const V w0 = in[0], w1 = in[is], w2 = in[2 * is];
  const V even1 = (-1.0f / 6) * (w0 + w2), odd1 = (1.0f / 6) * w1,
          even2 = (1.0f / 24) * w0 + (1.0f / 6) * w2, odd2 = (1.0f / 12) * w1;
  out[0] = 0.25f * w0;
  out[os] = even1 - odd1;
  out[2 * os] = even1 + odd1;
  out[3 * os] = even2 + odd2;
  out[4 * os] = even2 - odd2;
  out[5 * os] = w2;
}

// G^T, the gradient of the one above
template <class V>
EXPUNGE_HD void transform_weight_gradient(const V* in, int is, V* out, int os) {
  const V sum1 = in[is] + in[2 * is], difference1 = in[2 * is] - in[is],
          sum2 = in[3 * is] + in[4 * is], difference2 = in[3 * is] - in[4 * is];
  out[0] = 0.25f * in[0] - (1.0f / 6) * sum1 + (1.0f / 24) * sum2;
  out[os] = (1.0f / 6) * difference1 + (1.0f / 12) * difference2;
  out[2 * os] = (1.0f / 6) * (sum2 - sum1) + in[5 * is];
}

// out = T in T^T for a square `in` of side From, T one of the above: columns first, then rows.
template <int From, int To, auto kTransform, class V>
EXPUNGE_HD void both_ways(const V* in, V* out) {
  V half[To * From];
  EXPUNGE_UNROLL
  for (int j = 0; j < From; ++j) kTransform(in + j, From, half + j, From);
  EXPUNGE_UNROLL
  for (int i = 0; i < To; ++i) kTransform(half + i * From, 1, out + i * To, 1);
}

}  // namespace expunge::math
