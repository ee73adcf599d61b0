#include "data/image.h"

#include <iterator>

#include "core/check.h"
#include "core/file.h"
#include "data/image_budget.h"
#include "data/image_structure.h"

// The only place that sees stb_image. Its assertions throw: crafted files reach some of them.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(size) ::expunge::data::ImageBudget::allocate(size)
#define STBI_REALLOC(old, size) ::expunge::data::ImageBudget::reallocate(old, size)
#define STBI_FREE(bytes) ::expunge::data::ImageBudget::release(bytes)
#define STBI_ASSERT(x) \
  ((x) ? void() : ::expunge::fail(::expunge::ExitCode::input, "cannot be decoded: damaged data"))
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace expunge::data {
namespace {

static_assert(kMaxImageSide == STBI_MAX_DIMENSIONS);

void check_kind(std::string_view bytes) {
  const std::string_view kind = looks_like(bytes);
  const bool jpeg = kind == "a JPEG image", png = kind == "a PNG image";
  if (!jpeg && !png) fail(ExitCode::input, "is {}, expected a JPEG or PNG image", kind);
  if (bytes.size() > kMaxImageFile)
    fail(ExitCode::input, "has {} bytes, at most {} MiB are accepted", bytes.size(),
         kMaxImageFile >> 20);
  if (jpeg ? !jpeg_is_sound(bytes) : !png_is_sound(bytes))
    fail(ExitCode::input, "is {} cut short or damaged ({} bytes)", kind, bytes.size());
}

const stbi_uc* stb_bytes(std::string_view bytes) {
  return reinterpret_cast<const stbi_uc*>(bytes.data());
}

}  // namespace

ImageSize image_size(std::string_view bytes) {
  check_kind(bytes);
  ImageBudget budget(size_t{1} << 20);
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(stb_bytes(bytes), static_cast<int>(bytes.size()), &width, &height,
                            &channels) == 0)
    fail(ExitCode::input, "has a damaged header or more than {} pixels per side", kMaxImageSide);
  if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide ||
      int64_t{width} * height > kMaxImagePixels)
    fail(ExitCode::input, "has {} x {} pixels, at most {} per side and {} in all are accepted",
         width, height, kMaxImageSide, kMaxImagePixels);
  // A block of 64 pixels takes at least a bit of a JPEG; deflate shrinks a PNG, whose pixels have
  // at least a bit each, to 1/1032 at most.
  const int64_t most = looks_like(bytes) == "a JPEG image" ? 512 : 8 * 1032;
  if (int64_t{width} * height > most * std::ssize(bytes))
    fail(ExitCode::input, "states {} x {} pixels, more than {} bytes can hold", width, height,
         bytes.size());
  return {height, width};
}

Image decode_image(std::string_view bytes) {
  const ImageSize size = image_size(bytes);
  const int64_t pixels = size.height * size.width;
  // 16-bit RGBA needs 8 bytes a pixel three times at most; compressed bytes are gathered in a
  // buffer that doubles.
  ImageBudget budget(static_cast<size_t>(pixels) * 24 + bytes.size() * 4 + (size_t{1} << 20));
  int width = 0, height = 0, channels = 0;
  const stbi_uc* rgb = stbi_load_from_memory(stb_bytes(bytes), static_cast<int>(bytes.size()),
                                             &width, &height, &channels, 3);
  if (rgb == nullptr) fail(ExitCode::input, "cannot be decoded: {}", stbi_failure_reason());
  if (width != size.width || height != size.height)
    fail(ExitCode::input, "cannot be decoded: it states two sizes");
  return {size, {rgb, rgb + pixels * 3}};
}

Image read_image(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, kMaxImageFile);
  try {
    return decode_image(bytes);
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", path.string(), error.what());
  }
}

}  // namespace expunge::data
