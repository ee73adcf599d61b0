#pragma once

#include <array>

// The shapes of the built-in data set. Only + - * / sqrt and comparisons: the same bits everywhere.
namespace expunge::data {

inline constexpr int kBuiltinClasses = 10;
// In name order; indices are the labels.
inline constexpr std::array<const char*, kBuiltinClasses> kBuiltinNames = {
    "checker",    "cross", "diagonal", "disc",     "dots",
    "horizontal", "ring",  "square",   "triangle", "vertical"};

// Coverage in [0, 1] of the point (u, v) by the shape, which fills about [-1, 1]^2 with v down.
// `soft` is the width of its edge, `period` that of repeating patterns.
float shape_coverage(int label, float u, float v, float soft, float period);

}  // namespace expunge::data
