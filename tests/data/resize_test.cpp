#include "data/resize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/data/image_files.h"

using namespace expunge;
using namespace expunge::data;

namespace {

// Weights of the window's pixels in pixel `i` of `to`: a triangle as wide as a pixel of the result,
// or of the window where that is larger.
std::vector<double> weights(int64_t from, int64_t to, int64_t i) {
  const double scale = static_cast<double>(from) / static_cast<double>(to),
               reach = std::max(1.0, scale);
  const double centre = (static_cast<double>(i) + 0.5) * scale;
  std::vector<double> w(static_cast<size_t>(from));
  double sum = 0;
  // pixels beyond the edge repeat the one on it
  for (auto p = static_cast<int64_t>(centre - reach) - 2; p <= centre + reach + 2; ++p) {
    const double d = std::abs(static_cast<double>(p) + 0.5 - centre) / reach;
    if (d >= 1) continue;
    w[static_cast<size_t>(std::clamp<int64_t>(p, 0, from - 1))] += 1 - d;
    sum += 1 - d;
  }
  for (double& value : w) value /= sum;
  return w;
}

double expected(const Image& x, ImageSize to, int64_t h, int64_t w, int64_t c) {
  const double H = static_cast<double>(x.size.height), W = static_cast<double>(x.size.width);
  const double aspect = static_cast<double>(to.width) / static_cast<double>(to.height);
  const auto width = std::max<int64_t>(1, std::llround(std::min(W, H * aspect))),
             height = std::max<int64_t>(1, std::llround(std::min(H, W / aspect)));
  const int64_t top = (x.size.height - height) / 2, left = (x.size.width - width) / 2;
  const auto rows = weights(height, to.height, h), columns = weights(width, to.width, w);
  double sum = 0;
  for (int64_t i = 0; i < height; ++i)
    for (int64_t k = 0; k < width; ++k)
      sum += rows[static_cast<size_t>(i)] * columns[static_cast<size_t>(k)] *
             x.pixels[static_cast<size_t>(((top + i) * x.size.width + left + k) * 3 + c)];
  return sum;
}

}  // namespace

TEST_CASE("resize: the centred window through a triangle filter, larger and smaller") {
  const std::pair<ImageSize, ImageSize> rows[] = {
      {{20, 20}, {7, 7}}, {{9, 30}, {8, 8}}, {{31, 12}, {5, 9}}, {{6, 5}, {16, 16}},
      {{8, 8}, {8, 8}},   {{1, 1}, {3, 3}},  {{64, 48}, {1, 1}}, {{17, 3}, {4, 12}}};
  for (const auto& [from, to] : rows) {
    CAPTURE(from.height);
    CAPTURE(to.height);
    const Image image{
        from, test::picture(static_cast<int>(from.height), static_cast<int>(from.width), 3)};
    const Image small = resized(image, to);
    REQUIRE(small.size == to);
    double worst = 0;
    for (int64_t h = 0; h < to.height; ++h)
      for (int64_t w = 0; w < to.width; ++w)
        for (int64_t c = 0; c < 3; ++c)
          worst = std::max(worst,
                           std::abs(expected(image, to, h, w, c) -
                                    small.pixels[static_cast<size_t>((h * to.width + w) * 3 + c)]));
    CHECK(worst <= 0.51);  // rounding to a byte, and float
  }
}

TEST_CASE("resize: a plain colour stays what it is") {
  const Image grey{{13, 29}, std::vector<uint8_t>(13 * 29 * 3, 77)};
  const Image small = resized(grey, {32, 32});
  CHECK(std::ranges::all_of(small.pixels, [](uint8_t p) { return p == 77; }));
}
