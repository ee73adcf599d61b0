#include "kernels/augment.h"

#include <doctest/doctest.h>

#include "core/parallel.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::kernels;

namespace {

// Pads by 4 with black, crops, mirrors and normalises in separate steps.
std::vector<float> reference(const data::Dataset& set, int64_t position, const Jitter& jitter) {
  const int64_t H = set.height, W = set.width, P = 4;
  std::vector<uint8_t> padded(static_cast<size_t>((H + 2 * P) * (W + 2 * P) * 3), 0);
  for (int64_t h = 0; h < H; ++h)
    for (int64_t i = 0; i < W * 3; ++i)
      padded[static_cast<size_t>(((h + P) * (W + 2 * P) + P) * 3 + i)] =
          set.image(position)[h * W * 3 + i];
  std::vector<float> out;
  for (int64_t h = 0; h < H; ++h) {
    for (int64_t w = 0; w < W; ++w) {
      const int64_t x = jitter.flip ? W - 1 - w : w;
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t at = ((h + jitter.dy + P) * (W + 2 * P) + x + jitter.dx + P) * 3 + c;
        const float p = static_cast<float>(padded[static_cast<size_t>(at)]) / 255.0f;
        out.push_back((p - set.mean[static_cast<size_t>(c)]) / set.std[static_cast<size_t>(c)]);
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("augment: crop, mirror and normalisation give the bits of the steps one by one") {
  const data::Dataset set = test::tiny_set(6, 2, 2, 5);
  const size_t image = 5 * 5 * 3;
  for (int dy = -4; dy <= 4; ++dy) {
    for (int dx = -4; dx <= 4; ++dx) {
      const std::vector<int32_t> index = {5, 0, 7};
      const std::vector<Jitter> jitter = {{dy, dx, false}, {dx, dy, true}, {0, 0, false}};
      std::vector<float> y(3 * image + 1, 123.0f);
      augment({}, {5, 5, 3, set.mean.data(), set.std.data()}, 3, set.pixels.data(), index.data(),
              jitter.data(), y.data());
      for (size_t n = 0; n < 3; ++n) {
        const std::vector<float> expected = reference(set, index[n], jitter[n]);
        REQUIRE(std::equal(expected.begin(), expected.end(), y.data() + n * image));
      }
      REQUIRE(y.back() == 123.0f);
    }
  }
}

TEST_CASE("augment: without jitter images are only normalised, one channel or three") {
  const std::vector<uint8_t> images = {0, 255, 51, 102};
  const float mean = 0.5f, std = 0.25f;
  const int32_t index[] = {1, 0};
  float y[4];
  augment({}, {1, 2, 1, &mean, &std}, 2, images.data(), index, nullptr, y);
  CHECK(y[0] == (51 / 255.0f - 0.5f) / 0.25f);
  CHECK(y[2] == -2.0f);
  CHECK(y[3] == 2.0f);
}
