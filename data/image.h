#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace expunge::data {

// Hard limits: nothing larger is decoded, whatever a file claims.
inline constexpr uint64_t kMaxImageFile = uint64_t{64} << 20;
inline constexpr int kMaxImageSide = 16384;
inline constexpr int64_t kMaxImagePixels = int64_t{64} << 20;

struct ImageSize {
  int64_t height = 0, width = 0;
  auto operator<=>(const ImageSize&) const = default;
};

struct Image {
  ImageSize size;
  std::vector<uint8_t> pixels;  // (height, width, 3) RGB
};

// From the header alone; fails as decode_image does.
ImageSize image_size(std::string_view bytes);

// A JPEG or PNG file's bytes as 8-bit RGB. Anything else, anything cut short and anything above the
// limits is ExitCode::input; the text says why but not where, for the bytes have no name.
Image decode_image(std::string_view bytes);

// The same for a file; the text begins with its path.
Image read_image(const std::filesystem::path& path);

}  // namespace expunge::data
