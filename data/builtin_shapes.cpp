#include "data/builtin_shapes.h"

#include <cmath>

namespace expunge::data {
namespace {

float absolute(float x) {
  return x < 0 ? -x : x;
}

// 1 inside (distance < 0), 0 outside, linear over an edge of width `soft`.
float fill(float distance, float soft) {
  const float t = 0.5f - distance / soft;
  return t < 0 ? 0 : t > 1 ? 1 : t;
}

float larger(float a, float b) {
  return a > b ? a : b;
}

// Distance from the nearest multiple of `period`, in [0, period / 2].
float to_multiple(float x, float period) {
  const float turns = x / period;
  const float nearest = static_cast<float>(static_cast<int>(turns + (turns < 0 ? -0.5f : 0.5f)));
  return absolute(x - nearest * period);
}

float radius(float u, float v) {
  return std::sqrt(u * u + v * v);
}

float box(float u, float v, float half) {
  return larger(absolute(u), absolute(v)) - half;
}

float stripes(float across, float period) {
  return to_multiple(across, period) - 0.25f * period;
}

float triangle(float u, float v) {
  constexpr float kSlope = 0.8660254f, kHalf = 0.5f;  // an equilateral one, tip up
  return larger(v, absolute(u) * kSlope - v * kHalf) - 0.5f;
}

float cross(float u, float v) {
  const float bar = larger(absolute(u) - 0.95f, absolute(v) - 0.3f);
  const float post = larger(absolute(v) - 0.95f, absolute(u) - 0.3f);
  return bar < post ? bar : post;
}

float checker(float u, float v, float period) {
  const bool odd = (stripes(u, period) < 0) != (stripes(v, period) < 0);
  const float edge = larger(-absolute(stripes(u, period)), -absolute(stripes(v, period)));
  return odd ? edge : -edge;
}

float dots(float u, float v, float period) {
  return radius(to_multiple(u, period), to_multiple(v, period)) - 0.3f * period;
}

// Signed distance: below 0 inside.
float distance(int label, float u, float v, float period) {
  constexpr float kDiagonal = 0.70710678f;
  switch (label) {
    case 0:
      return larger(checker(u, v, period), box(u, v, 0.9f));
    case 1:
      return cross(u, v);
    case 2:
      return larger(stripes((u + v) * kDiagonal, period), box(u, v, 0.9f));
    case 3:
      return radius(u, v) - 0.9f;
    case 4:
      return larger(dots(u, v, period), box(u, v, 0.9f));
    case 5:
      return larger(stripes(v, period), box(u, v, 0.9f));
    case 6:
      return absolute(radius(u, v) - 0.7f) - 0.22f;
    case 7:
      return box(u, v, 0.8f);
    case 8:
      return triangle(u, v);
    default:
      return larger(stripes(u, period), box(u, v, 0.9f));
  }
}

}  // namespace

float shape_coverage(int label, float u, float v, float soft, float period) {
  return fill(distance(label, u, v, period), soft);
}

}  // namespace expunge::data
