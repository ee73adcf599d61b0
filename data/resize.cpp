#include "data/resize.h"

#include <algorithm>

#include "core/check.h"

// The only place that sees stb_image_resize.
#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace expunge::data {

Image resized(const Image& image, ImageSize to) {
  EXPUNGE_CHECK(to.height > 0 && to.width > 0 && !image.pixels.empty(), "resized: {} x {} from {}",
                to.width, to.height, image.pixels.size());
  const auto [height, width] = image.size;
  // Of the window: w / h = to.width / to.height, as large as fits; as shares of the image's sides.
  const double aspect = static_cast<double>(to.width) / static_cast<double>(to.height);
  const double w = std::min(1.0, aspect * static_cast<double>(height) / static_cast<double>(width));
  const double h = std::min(1.0, static_cast<double>(width) / aspect / static_cast<double>(height));
  Image out{to, std::vector<uint8_t>(static_cast<size_t>(to.height * to.width * 3))};
  const int made = stbir_resize_region(
      image.pixels.data(), static_cast<int>(width), static_cast<int>(height), 0, out.pixels.data(),
      static_cast<int>(to.width), static_cast<int>(to.height), 0, STBIR_TYPE_UINT8, 3,
      STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP, STBIR_FILTER_TRIANGLE,
      STBIR_FILTER_TRIANGLE, STBIR_COLORSPACE_LINEAR, nullptr, static_cast<float>(0.5 - w / 2),
      static_cast<float>(0.5 - h / 2), static_cast<float>(0.5 + w / 2),
      static_cast<float>(0.5 + h / 2));
  if (made == 0) fail(ExitCode::memory, "out of memory while an image is resized");
  return out;
}

}  // namespace expunge::data
