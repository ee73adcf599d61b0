#include "data/image.h"

#include <optional>

#include "core/check.h"
#include "core/file.h"
#include "data/image_budget.h"

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

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool skip(uint64_t n) {
    if (n > bytes_.size()) return false;
    bytes_.remove_prefix(static_cast<size_t>(n));
    return true;
  }
  std::optional<uint32_t> big_endian(size_t width) {
    if (width > bytes_.size()) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | static_cast<uint8_t>(bytes_[i]);
    bytes_.remove_prefix(width);
    return value;
  }
  bool skip_past(char c) {
    const size_t at = bytes_.find(c);
    return at != bytes_.npos && skip(at + 1);
  }

 private:
  std::string_view bytes_;
};

// stb fills a JPEG that was cut short with grey and a PNG's last checksum may be missing; both
// walks find the end marker where it belongs (a thumbnail inside has one of its own).
bool jpeg_is_complete(std::string_view bytes) {
  constexpr uint32_t kStart = 0xD8, kEnd = 0xD9, kScan = 0xDA;
  Reader in(bytes);
  bool in_scan = false;
  for (;;) {
    if (in_scan && !in.skip_past('\xFF')) return false;
    std::optional<uint32_t> marker = in.big_endian(1);
    if (!in_scan && marker != 0xFFu) return false;
    while (marker == 0xFFu) marker = in.big_endian(1);  // fill bytes
    if (!marker) return false;
    if (*marker == kEnd) return true;
    const bool restart = *marker >= 0xD0 && *marker <= 0xD7;
    if (*marker == 0 || *marker == 1 || restart || *marker == kStart) {
      if (*marker == 0 && !in_scan) return false;
      continue;
    }
    const std::optional<uint32_t> length = in.big_endian(2);
    if (!length || *length < 2 || !in.skip(*length - 2)) return false;
    in_scan = *marker == kScan;
  }
}

bool png_is_complete(std::string_view bytes) {
  constexpr uint32_t kEnd = 0x49454E44;  // "IEND"
  Reader in(bytes);
  if (!in.skip(8)) return false;
  for (;;) {
    const std::optional<uint32_t> length = in.big_endian(4), type = in.big_endian(4);
    if (!length || !type || !in.skip(uint64_t{*length} + 4)) return false;
    if (*type == kEnd) return true;
  }
}

void check_kind(std::string_view bytes) {
  const std::string_view kind = looks_like(bytes);
  const bool jpeg = kind == "a JPEG image", png = kind == "a PNG image";
  if (!jpeg && !png) fail(ExitCode::input, "is {}, expected a JPEG or PNG image", kind);
  if (bytes.size() > kMaxImageFile)
    fail(ExitCode::input, "has {} bytes, at most {} MiB are accepted", bytes.size(),
         kMaxImageFile >> 20);
  if (jpeg ? !jpeg_is_complete(bytes) : !png_is_complete(bytes))
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
