#include "data/image_structure.h"

#include <cstdint>
#include <optional>

namespace expunge::data {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::optional<std::string_view> take(uint64_t n) {
    if (n > bytes_.size()) return std::nullopt;
    const std::string_view taken = bytes_.substr(0, static_cast<size_t>(n));
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  std::optional<uint32_t> big_endian(size_t width) {
    const std::optional<std::string_view> taken = take(width);
    if (!taken) return std::nullopt;
    uint32_t value = 0;
    for (const char c : *taken) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  bool skip_past(char c) {
    const size_t at = bytes_.find(c);
    return at != bytes_.npos && take(at + 1).has_value();
  }

 private:
  std::string_view bytes_;
};

enum Marker : uint32_t {
  kStuffed = 0x00,
  kTemporary = 0x01,
  kHuffman = 0xC4,
  kRestart0 = 0xD0,
  kRestart7 = 0xD7,
  kStart = 0xD8,
  kEnd = 0xD9,
  kScan = 0xDA,
  kFill = 0xFF,
};

bool stands_alone(uint32_t marker) {
  return marker == kStuffed || marker == kTemporary || marker == kStart ||
         (marker >= kRestart0 && marker <= kRestart7);
}

// Tables of one byte, 16 counts, and as many symbols as the counts add up to.
bool huffman_tables_are_sound(std::string_view segment) {
  Reader in(segment);
  while (!in.empty()) {
    const auto table = in.take(1), counts = in.take(16);
    if (!table || !counts) return false;
    uint32_t symbols = 0;
    for (const char count : *counts) symbols += static_cast<uint8_t>(count);
    if (symbols > 256 || !in.take(symbols)) return false;
  }
  return true;
}

}  // namespace

bool jpeg_is_sound(std::string_view bytes) {
  Reader in(bytes);
  bool in_scan = false;
  for (;;) {
    if (in_scan && !in.skip_past('\xFF')) return false;
    std::optional<uint32_t> marker = in.big_endian(1);
    if (!in_scan && marker != kFill) return false;
    while (marker == kFill) marker = in.big_endian(1);
    if (!marker || (*marker == kStuffed && !in_scan)) return false;
    if (*marker == kEnd) return true;
    if (stands_alone(*marker)) continue;
    const std::optional<uint32_t> length = in.big_endian(2);
    if (!length || *length < 2) return false;
    const std::optional<std::string_view> segment = in.take(*length - 2);
    if (!segment || (*marker == kHuffman && !huffman_tables_are_sound(*segment))) return false;
    in_scan = *marker == kScan;
  }
}

bool png_is_sound(std::string_view bytes) {
  constexpr uint32_t kImageEnd = 0x49454E44;  // "IEND"
  constexpr uint64_t kSignature = 8, kChecksum = 4;
  Reader in(bytes);
  if (!in.take(kSignature)) return false;
  for (;;) {
    const std::optional<uint32_t> length = in.big_endian(4), type = in.big_endian(4);
    if (!length || !type || !in.take(*length + kChecksum)) return false;
    if (*type == kImageEnd) return true;
  }
}

}  // namespace expunge::data
