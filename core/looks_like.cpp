#include <algorithm>
#include <cctype>
#include <string>

#include "core/file.h"

namespace expunge {
namespace {

using std::string_view_literals::operator""sv;

struct Signature {
  size_t offset;
  std::string_view bytes, name;
};

constexpr Signature kSignatures[] = {
    {0, "\xFF\xD8\xFF"sv, "a JPEG image"},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG image"},
    {0, "GIF8"sv, "a GIF image"},
    {8, "WEBP"sv, "a WebP image"},
    {4, "ftypavif"sv, "an AVIF image"},
    {4, "ftyphei"sv, "a HEIC image"},
    {0, "II*\0"sv, "a TIFF image"},
    {0, "MM\0*"sv, "a TIFF image"},
    {0, "BM"sv, "a BMP image"},
    {0, "#?RADIANCE"sv, "an HDR image"},
    {0, "%PDF-"sv, "a PDF document"},
    {0, "PK\x03\x04"sv, "a zip archive (as .npz, .pth and .pt files are)"},
    {0, "\x1F\x8B"sv, "a gzip archive (unpack it first)"},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     "an xz archive (unpack it first)"},
    {0, "BZh"sv, "a bzip2 archive (unpack it first)"},
    {257, "ustar"sv, "a tar archive (unpack it first)"},
    {0, "\x93NUMPY"sv, "a NumPy array"},
    {0, "\x89HDF\r\n"sv, "an HDF5 file"},
    {0, "MATLAB 5.0 MAT-file"sv, "a MATLAB file"},
    {0, "\x80\x02"sv, "a Python pickle (as old .pth files are)"},
    {0, "\x80\x03"sv, "a Python pickle"},
    {0, "\x80\x04"sv, "a Python pickle"},
    {0, "\x80\x05"sv, "a Python pickle"},
    {0,
     "\x7F"
     "ELF"sv,
     "a program"},
    {0, "version https://git-lfs"sv, "a Git LFS pointer (fetch the file itself)"},
    {0, "EXPUNGE\n"sv, "a packed data set of expunge"},
};

std::string lower_without_space(std::string_view text) {
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  std::string out(std::find_if_not(text.begin(), text.end(), is_space), text.end());
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) {
    const bool in_utf8 = c >= 0x20 && c != 0x7F && c < 0xF5;
    return in_utf8 || c == '\n' || c == '\r' || c == '\t';
  });
}

// safetensors: a little-endian length of the JSON header, then the header. Asked first, for a
// length can look like a signature: 19778 is "BM".
bool is_safetensors(std::string_view bytes) {
  return bytes.size() > 9 && bytes.substr(4).starts_with("\0\0\0\0{"sv);
}

}  // namespace

std::string_view looks_like(std::span<const uint8_t> span) {
  const std::string_view head(reinterpret_cast<const char*>(span.data()),
                              std::min<size_t>(span.size(), 512));
  if (head.empty()) return "empty";
  if (is_safetensors(head)) return "a safetensors file";
  for (const Signature& s : kSignatures)
    if (head.size() >= s.offset && head.substr(s.offset).starts_with(s.bytes)) return s.name;
  if (head.find_first_not_of('\0') == head.npos) return "zero bytes only";
  const std::string text = lower_without_space(head);
  if (text.starts_with("<!doctype html") || text.starts_with("<html")) return "an HTML page";
  if (text.starts_with("<?xml") || text.starts_with("<svg")) return "an XML document";
  return is_text(head) ? "a text file" : "no known format";
}

}  // namespace expunge
