#include "eval/npz.h"

#include <fmt/core.h>
#include <zlib.h>

#include <bit>
#include <limits>
#include <set>

#include "core/file.h"

namespace expunge::eval {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie");

constexpr uint64_t kMaxBytes = std::numeric_limits<uint32_t>::max();  // offsets have 32 bits
constexpr size_t kMaxEntries = std::numeric_limits<uint16_t>::max();
constexpr uint16_t kVersion = 20, kFlags = 0, kStored = 0;
constexpr uint16_t kTime = 0, kDate = 1 << 5 | 1;  // 1 January 1980, so that files repeat

template <class T>
void append(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i)
    out += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
}

std::string npy_header(const NpyArray& array) {
  std::string shape;
  for (const int64_t extent : array.shape) shape += fmt::format("{}, ", extent);
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);
  if (array.shape.size() == 1) shape.pop_back();
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", array.type, shape);
  constexpr size_t kPrefix = 10, kAlign = 64;
  while ((kPrefix + text.size() + 1) % kAlign != 0) text += ' ';
  text += '\n';
  std::string out = "\x93NUMPY";
  append<uint8_t>(out, 1);
  append<uint8_t>(out, 0);
  append(out, static_cast<uint16_t>(text.size()));
  return out + text;
}

struct Entry {
  std::string name, header;  // header of the .npy file
  uint32_t crc, size, offset;
};

// What the local header and the directory say alike.
void append_common(std::string& out, const Entry& e) {
  append(out, kVersion);
  append(out, kFlags);
  append(out, kStored);
  append(out, kTime);
  append(out, kDate);
  append(out, e.crc);
  append(out, e.size);  // compressed
  append(out, e.size);
  append(out, static_cast<uint16_t>(e.name.size()));
  append<uint16_t>(out, 0);  // extra field
}

std::string local_header(const Entry& e) {
  std::string out = "PK\3\4";
  append_common(out, e);
  return out + e.name;
}

std::string directory_entry(const Entry& e) {
  std::string out = "PK\1\2";
  append(out, kVersion);
  append_common(out, e);
  append<uint16_t>(out, 0);  // comment
  append<uint16_t>(out, 0);  // disk
  append<uint16_t>(out, 0);  // internal attributes
  append<uint32_t>(out, 0);  // external attributes
  append(out, e.offset);
  return out + e.name;
}

std::string directory(const std::vector<Entry>& entries, uint64_t offset) {
  std::string out;
  for (const Entry& e : entries) out += directory_entry(e);
  const auto size = static_cast<uint32_t>(out.size());
  const auto count = static_cast<uint16_t>(entries.size());
  out += "PK\5\6";
  append<uint16_t>(out, 0);  // this disk
  append<uint16_t>(out, 0);  // the directory's
  append(out, count);        // on this disk
  append(out, count);
  append(out, size);
  append(out, static_cast<uint32_t>(offset));
  append<uint16_t>(out, 0);  // comment
  return out;
}

uint32_t crc(const std::string& header, std::span<const std::byte> bytes) {
  const auto of = [](uLong before, const void* data, size_t size) {
    return crc32_z(before, static_cast<const Bytef*>(data), size);
  };
  const uLong begun = of(crc32_z(0, nullptr, 0), header.data(), header.size());
  return static_cast<uint32_t>(bytes.empty() ? begun : of(begun, bytes.data(), bytes.size()));
}

}  // namespace

void write_npz(const std::filesystem::path& path, const std::vector<NpyArray>& arrays) {
  std::vector<Entry> entries;
  std::set<std::string> names;
  uint64_t offset = 0;
  for (const NpyArray& array : arrays) {
    EXPUNGE_CHECK(!array.name.empty() && names.insert(array.name).second,
                  "npz: the name \"{}\" is empty or stands twice", array.name);
    Entry e{array.name + ".npy", npy_header(array), 0, 0, static_cast<uint32_t>(offset)};
    const uint64_t size = e.header.size() + array.bytes.size();
    offset += local_header(e).size() + size;
    if (offset > kMaxBytes || entries.size() == kMaxEntries)
      fail(ExitCode::input, "{}: the arrays up to {} have {} bytes, expected less than 4 GiB",
           path.string(), array.name, offset);
    e.size = static_cast<uint32_t>(size);
    e.crc = crc(e.header, array.bytes);
    entries.push_back(std::move(e));
  }
  AtomicFile file(path);
  for (size_t i = 0; i < entries.size(); ++i) {
    file.write(local_header(entries[i]) + entries[i].header);
    file.write(arrays[i].bytes.data(), arrays[i].bytes.size());
  }
  file.write(directory(entries, offset));
  file.commit();
}

std::vector<NpyArray> npy_arrays(const std::string& part, const Outputs& outputs) {
  const int64_t N = outputs.samples(), C = outputs.classes;
  return {npy_array(part + "_labels", {N}, outputs.labels),
          npy_array(part + "_positions", {N}, outputs.positions),
          npy_array(part + "_logits", {N, C}, outputs.logits),
          npy_array(part + "_probabilities", {N, C}, outputs.p),
          npy_array(part + "_losses", {N}, outputs.losses),
          npy_array(part + "_margins", {N}, outputs.margins)};
}

}  // namespace expunge::eval
