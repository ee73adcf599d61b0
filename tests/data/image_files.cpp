#include "tests/data/image_files.h"

#include <fmt/core.h>

#include "core/rng.h"
#include "support/temp_dir.h"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace expunge::test {
namespace {

void append(void* to, void* bytes, int size) {
  static_cast<std::string*>(to)->append(static_cast<char*>(bytes), static_cast<size_t>(size));
}

}  // namespace

std::vector<uint8_t> picture(int height, int width, int seed) {
  std::vector<uint8_t> pixels(static_cast<size_t>(height * width * 3));
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<uint8_t>(rng::philox(static_cast<uint64_t>(seed), rng::Purpose::test,
                                                 {{static_cast<uint32_t>(i), 0, 0, 0}})
                                         .word[0]);
  return pixels;
}

std::string png_bytes(int height, int width, int seed) {
  std::string bytes;
  stbi_write_png_to_func(append, &bytes, width, height, 3, picture(height, width, seed).data(),
                         width * 3);
  return bytes;
}

std::string jpeg_bytes(int height, int width, int seed) {
  std::string bytes;
  stbi_write_jpg_to_func(append, &bytes, width, height, 3, picture(height, width, seed).data(), 90);
  return bytes;
}

std::string png_header(uint32_t height, uint32_t width) {
  const auto big_endian = [](uint32_t n) {
    return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                       static_cast<char>(n >> 8), static_cast<char>(n)};
  };
  const std::string crc(4, '\0');
  return std::string("\x89PNG\r\n\x1A\n", 8) + big_endian(13) + "IHDR" + big_endian(width) +
         big_endian(height) + std::string("\x08\x02\0\0\0", 5) + crc + big_endian(0) + "IDAT" +
         crc + big_endian(0) + "IEND" + crc;
}

void make_tree(const std::filesystem::path& root, int train, int test) {
  int seed = 0;
  for (const char* name : {"cat", "dog"}) {
    for (int i = 0; i < train; ++i)
      put_file(root / fmt::format("train/{}/{}.png", name, i), png_bytes(8, 6, ++seed));
    for (int i = 0; i < test; ++i)
      put_file(root / fmt::format("test/{}/{}.jpg", name, i), jpeg_bytes(8, 6, ++seed));
  }
}

}  // namespace expunge::test
