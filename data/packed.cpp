#include <algorithm>
#include <cstring>
#include <optional>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/corrupt.h"
#include "data/packed_header.h"

namespace expunge::data {
namespace {

constexpr char kMagic[8] = {'E', 'X', 'P', 'U', 'N', 'G', 'E', '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kAlign = 64;  // of the header's end

// What a packed file begins with.
struct Prefix {
  char magic[8];
  uint32_t version;
  uint32_t zero;
  uint64_t header_bytes;
  Sha256Digest header_hash;
  uint64_t reserved;
};
static_assert(sizeof(Prefix) == kAlign);

// Bytes of a file with this header; nothing where 64 bits do not hold them.
std::optional<uint64_t> file_bytes(uint64_t header_bytes, const PackedHeader& header) {
  const Dataset& set = header.set;
  const auto samples = static_cast<uint64_t>(set.count());
  const auto image = static_cast<uint64_t>(set.image_bytes());  // at most 3 * 2^28
  const uint64_t sample_bytes = image + sizeof(uint16_t) + sizeof(SampleId);
  uint64_t total = 0;
  if (__builtin_mul_overflow(samples, sample_bytes, &total) ||
      __builtin_add_overflow(total, sizeof(Prefix) + header_bytes, &total) ||
      __builtin_add_overflow(total, header.source_bytes, &total))
    return std::nullopt;
  return total;
}

void check_prefix(const Prefix& prefix, const std::string& path) {
  if (prefix.version != kVersion)
    fail(ExitCode::input, "{}: packed format version {}, this program reads version {}{}", path,
         prefix.version, kVersion, prefix.version > kVersion ? " (update it)" : "");
  if (prefix.zero != 0 || prefix.reserved != 0)
    fail(ExitCode::input, "{}: reserved bytes are not zero: the file is damaged", path);
  if (prefix.header_bytes > kMaxPackedHeader || prefix.header_bytes % kAlign != 0)
    fail(ExitCode::input, "{}: header of {} bytes, expected a multiple of {} up to {}", path,
         prefix.header_bytes, kAlign, kMaxPackedHeader);
}

Prefix read_prefix(InputFile& file) {
  const std::string path = file.path().string();
  char head[512] = {};
  const size_t known = std::min<size_t>(file.size(), sizeof(Prefix));
  file.read(head, known);
  if (std::memcmp(head, kMagic, sizeof kMagic) != 0) {
    const size_t more = std::min<size_t>(file.size(), sizeof head) - known;
    file.read(head + known, more);
    fail(ExitCode::input, "{}: is {}, expected a packed data set (made by: expunge data prepare)",
         path, looks_like(std::string_view(head, known + more)));
  }
  if (known < sizeof(Prefix))
    fail(ExitCode::input, "{}: ends after {} bytes: the file is cut short", path, known);
  Prefix prefix;
  std::memcpy(&prefix, head, sizeof prefix);
  check_prefix(prefix, path);
  return prefix;
}

PackedHeader read_header(InputFile& file) {
  const std::string path = file.path().string();
  const Prefix prefix = read_prefix(file);
  if (prefix.header_bytes > file.size() - sizeof prefix)
    fail(ExitCode::input, "{}: {} bytes hold no header of {}: the file is cut short", path,
         file.size(), prefix.header_bytes);
  std::string json(prefix.header_bytes, '\0');
  file.read(json.data(), json.size());
  if (sha256(json.data(), json.size()) != prefix.header_hash)
    fail(ExitCode::input, "{}: header does not match its hash: the file is damaged", path);
  PackedHeader header = parse_packed_header(json, path);
  const std::optional<uint64_t> expected = file_bytes(prefix.header_bytes, header);
  if (expected != file.size())
    fail(ExitCode::input, "{}: {} bytes, its header says {}: the file is {}", path, file.size(),
         expected.value_or(UINT64_MAX),
         expected.value_or(UINT64_MAX) > file.size() ? "cut short" : "too long");
  return header;
}

template <class T>
void read_array(InputFile& file, std::vector<T>& values, uint64_t count) {
  values.resize(count);
  file.read(values.data(), count * sizeof(T));
}

// The table: every sample's source, each ended by a zero byte.
void split_sources(const std::string& table, Dataset& set, const std::string& path) {
  const auto count = std::count(table.begin(), table.end(), '\0');
  if (count != set.count() || (!table.empty() && table.back() != '\0'))
    fail(ExitCode::input, "{}: table of sources has {} entries for {} samples", path, count,
         set.count());
  set.sources.reserve(static_cast<size_t>(set.count()));
  for (size_t at = 0; at < table.size(); at += set.sources.back().size() + 1)
    set.sources.emplace_back(table.c_str() + at);
}

void check_labels(const Dataset& set, const std::string& path) {
  const auto bad = std::find_if(set.labels.begin(), set.labels.end(),
                                [&](uint16_t label) { return label >= set.classes.size(); });
  if (bad != set.labels.end())
    fail(ExitCode::input, "{}: sample {} has label {}, there are {} classes", path,
         bad - set.labels.begin(), *bad, set.classes.size());
}

std::string source_table(const Dataset& set) {
  std::string table;
  for (const std::string& source : set.sources) table.append(source.c_str(), source.size() + 1);
  return table;
}

void check_complete(const Dataset& set) {
  const auto count = static_cast<size_t>(set.count());
  EXPUNGE_CHECK(set.pixels.size() == count * static_cast<size_t>(set.image_bytes()) &&
                    set.labels.size() == count && set.ids.size() == count &&
                    set.sources.size() == count && !set.digest.empty(),
                "data set {}: its arrays do not hold {} samples", set.name, count);
}

[[noreturn]] void refuse(const std::filesystem::path& path, std::string_view what) {
  fail(ExitCode::verification, "{}: {}: the file was changed after it was made", path.string(),
       what);
}

}  // namespace

void write_packed(const std::filesystem::path& path, const Dataset& set) {
  check_complete(set);
  const std::string sources = source_table(set);
  std::string json = format_packed_header({set, sources.size()});
  parse_packed_header(json, path.string());  // what could not be read is not written
  if (json.size() > kMaxPackedHeader - kAlign)
    fail(ExitCode::input, "data set {}: its header would have {} bytes, at most {} can be read",
         set.name, json.size(), kMaxPackedHeader);
  json.resize((json.size() + kAlign - 1) / kAlign * kAlign, ' ');
  Prefix prefix{};
  std::memcpy(prefix.magic, kMagic, sizeof kMagic);
  prefix.version = kVersion;
  prefix.header_bytes = json.size();
  prefix.header_hash = sha256(json.data(), json.size());
  AtomicFile file(path);
  file.write(&prefix, sizeof prefix);
  file.write(json);
  file.write(set.pixels.data(), set.pixels.size());
  file.write(set.labels.data(), set.labels.size() * sizeof(uint16_t));
  file.write(set.ids.data(), set.ids.size() * sizeof(SampleId));
  file.write(sources);
  file.commit();
}

Dataset read_packed(const std::filesystem::path& path) {
  InputFile file(path);
  PackedHeader header = read_header(file);
  Dataset& set = header.set;
  const auto count = static_cast<uint64_t>(set.count());
  read_array(file, set.pixels, count * static_cast<uint64_t>(set.image_bytes()));
  read_array(file, set.labels, count);
  read_array(file, set.ids, count);
  std::string table(header.source_bytes, '\0');
  file.read(table.data(), table.size());
  split_sources(table, set, path.string());
  check_labels(set, path.string());
  if (const std::string fault = fault_of_record(set); !fault.empty())
    fail(ExitCode::input, "{}: {}", path.string(), fault);
  return std::move(set);
}

Dataset verify_packed(const std::filesystem::path& path) {
  Dataset set = read_packed(path);
  const std::string digest = set.digest;
  const auto mean = set.mean, std = set.std;
  summarize(set);
  if (set.digest != digest) refuse(path, "content does not match its digest");
  if (set.mean != mean || set.std != std)
    refuse(path, "mean and std are not those of its training images");
  if (set.id_source == IdSource::file) return set;  // the files' bytes are not in it
  const std::vector<SampleId> ids = set.ids;
  ids_from_pixels(set);
  const auto [wrong, right] = std::mismatch(ids.begin(), ids.end(), set.ids.begin());
  if (wrong != ids.end())
    refuse(path, fmt::format("sample {} has id {}, its pixels have {}", wrong - ids.begin(),
                             wrong->hex(), right->hex()));
  return set;
}

}  // namespace expunge::data
