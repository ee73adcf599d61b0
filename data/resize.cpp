#include "data/resize.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

// The only place that sees stb_image_resize. Its assertions are off: one expects the weights of a
// pixel to add up to 1.1 at most before they are normalised, and 7 pixels to 5 exceed that. The
// tests compare every pixel.
#define STBIR_ASSERT(x) ((void)(x))
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace expunge::data {

namespace {

// Sides of the largest window of the shape of `to`, in whole pixels.
ImageSize window_of(ImageSize image, ImageSize to) {
  const double aspect = static_cast<double>(to.width) / static_cast<double>(to.height);
  const auto fits = [](double side, int64_t most) {
    return std::clamp<int64_t>(std::llround(side), 1, most);
  };
  return {fits(static_cast<double>(image.width) / aspect, image.height),
          fits(static_cast<double>(image.height) * aspect, image.width)};
}

}  // namespace

Image resized(const Image& image, ImageSize to) {
  EXPUNGE_CHECK(to.height > 0 && to.width > 0 && !image.pixels.empty(), "resized: {} x {} from {}",
                to.width, to.height, image.pixels.size());
  const ImageSize window = window_of(image.size, to);
  const int64_t top = (image.size.height - window.height) / 2,
                left = (image.size.width - window.width) / 2, stride = image.size.width * 3;
  Image out{to, std::vector<uint8_t>(static_cast<size_t>(to.height * to.width * 3))};
  const int made = stbir_resize_uint8_generic(
      image.pixels.data() + top * stride + left * 3, static_cast<int>(window.width),
      static_cast<int>(window.height), static_cast<int>(stride), out.pixels.data(),
      static_cast<int>(to.width), static_cast<int>(to.height), 0, 3, STBIR_ALPHA_CHANNEL_NONE, 0,
      STBIR_EDGE_CLAMP, STBIR_FILTER_TRIANGLE, STBIR_COLORSPACE_LINEAR, nullptr);
  if (made == 0) fail(ExitCode::memory, "out of memory while an image is resized");
  return out;
}

}  // namespace expunge::data
