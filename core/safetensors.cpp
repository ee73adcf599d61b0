#include "core/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "core/sha256.h"

namespace expunge {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors is little-endian, and so is this code");

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxHeader = uint64_t{16} << 20, kMaxExtent = uint64_t{1} << 48;
constexpr size_t kMaxTensors = 65536, kMaxName = 512, kMaxRank = 8;

struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
};

// Takes the header apart while it is read, so that neither depth nor duplicates can hide in a tree.
class Header final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Entry> entries;
  Metadata metadata;
  std::string fault;

  bool start_object(size_t) override {
    ++depth_;
    if (depth_ > 2 || list_ != nullptr) return refuse("is nested deeper than the format allows");
    if (depth_ == 2 && !in_metadata_)
      entries.push_back({.name = key_, .dtype = {}, .shape = {}, .offsets = {}});
    if (entries.size() > kMaxTensors) return refuse("names more than 65536 tensors");
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool key(std::string& name) override {
    if (name.size() > kMaxName) return refuse("has a name longer than 512 bytes");
    if (depth_ == 1 && !names_.insert(name).second) return refuse("names '" + name + "' twice");
    if (depth_ == 1) in_metadata_ = name == "__metadata__", fields_.clear();
    if (depth_ == 2 && !fields_.insert(name).second)
      return refuse("gives '" + name + "' twice in '" + key_ + "'");
    (depth_ == 1 ? key_ : field_) = name;
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ != 2 || list_ != nullptr) return refuse("has text where a tensor is expected");
    if (in_metadata_) return metadata[field_] = value, true;
    if (field_ != "dtype") return refuse("has text as '" + field_ + "' of '" + key_ + "'");
    entries.back().dtype = value;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || list_ != nullptr)
      return refuse("has a list where none is expected");
    if (field_ == "shape") list_ = &entries.back().shape;
    if (field_ == "data_offsets") list_ = &entries.back().offsets;
    return list_ != nullptr || refuse("has a list '" + field_ + "' in '" + key_ + "'");
  }
  bool end_array() override { return list_ = nullptr, true; }
  bool number_unsigned(uint64_t value) override {
    if (list_ == nullptr || list_->size() >= kMaxRank)
      return refuse("has a number where none is expected");
    return list_->push_back(value), true;
  }
  bool number_integer(int64_t) override { return refuse("has a negative number"); }
  bool number_float(double, const std::string&) override { return refuse("has a fraction"); }
  bool null() override { return refuse("has a null"); }
  bool boolean(bool) override { return refuse("has a truth value"); }
  bool binary(nlohmann::json::binary_t&) override { return refuse("has binary data"); }
  bool parse_error(size_t at, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("is not JSON at byte " + std::to_string(at));
  }

 private:
  bool refuse(std::string text) {
    if (fault.empty()) fault = std::move(text);
    return false;
  }
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string key_, field_;
  std::vector<uint64_t>* list_ = nullptr;
  std::set<std::string> names_, fields_;
};

uint64_t bytes_per_element(const std::string& dtype) {
  static const std::map<std::string, uint64_t> kSizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F16", 2}, {"BF16", 2}, {"I16", 2}, {"U16", 2},
      {"I32", 4},  {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8},  {"U64", 8}};
  const auto it = kSizes.find(dtype);
  return it == kSizes.end() ? 0 : it->second;
}

// The fault of an entry, or "". `position`: where its bytes must begin.
std::string check_entry(const Entry& e, uint64_t position, uint64_t data_bytes) {
  uint64_t bytes = bytes_per_element(e.dtype);
  if (bytes == 0) return "has dtype '" + e.dtype + "', which is not known";
  if (e.offsets.size() != 2) return "lacks its two data_offsets";
  for (uint64_t extent : e.shape) {
    if (extent > kMaxExtent || (extent != 0 && bytes > data_bytes / extent))
      return "has a shape larger than the file";
    bytes *= extent;
  }
  if (e.offsets[0] != position || e.offsets[1] < e.offsets[0])
    return "leaves a hole or overlaps the one before";
  if (e.offsets[1] > data_bytes) return "ends behind the end of the file";
  if (e.offsets[1] - e.offsets[0] != bytes) return "has offsets that do not fit its shape";
  return "";
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  fail(ExitCode::input, "{}: {}, so this is not a valid safetensors file", path.string(), what);
}

// Metadata key of the digest, hex: of all other metadata, of names, types and shapes in file order,
// and of the data. So another program may write the header anew, but not a bit of what it says.
constexpr const char* kDigest = "sha256";

class Digest {
 public:
  explicit Digest(const Metadata& metadata) {
    for (const auto& [key, value] : metadata)
      if (key != kDigest) add(key), add(value);
  }
  template <class Extent>
  void add_tensor(std::string_view name, std::string_view dtype, std::span<const Extent> shape) {
    add(name), add(dtype);
    for (const Extent extent : shape) add(std::to_string(extent));
  }
  void add_data(const void* bytes, size_t size) { sha_.update(bytes, size); }
  std::string hex() { return to_hex(sha_.digest()); }

 private:
  void add(std::string_view text) {
    const uint64_t size = text.size();  // in front, so that no two lists of texts look alike
    sha_.update(&size, sizeof size).update(text.data(), text.size());
  }
  Sha256 sha_;
};

std::string digest_of(std::span<const NamedTensor> tensors, const Metadata& metadata) {
  Digest digest(metadata);
  for (const NamedTensor& t : tensors) digest.add_tensor(t.name, "F32", std::span(t.shape));
  for (const NamedTensor& t : tensors)
    digest.add_data(t.values.bytes(), static_cast<size_t>(t.values.size()) * sizeof(float));
  return digest.hex();
}

std::string_view first_look(const InputFile& file) {
  std::string head(std::min<uint64_t>(file.size(), 512), '\0');
  InputFile(file.path()).read(head.data(), head.size());
  return looks_like(head);  // names a literal
}

// A beginning that cannot be is most often that of some other file.
[[noreturn]] void refuse_beginning(const InputFile& file, const std::string& fault) {
  const std::string_view kind = first_look(file);
  if (kind == "no known format" || kind == "a safetensors file") refuse(file.path(), fault);
  const bool is_pickle = kind.find("pickle") != kind.npos || kind.find(".pth") != kind.npos;
  fail(ExitCode::input, "{}: is {}, expected a safetensors file{}", file.path().string(), kind,
       is_pickle ? "; pickle can run code and is never read: tools/torch_safetensors.py converts it"
                 : "");
}

Header read_header(InputFile& file) {
  uint64_t length = 0;
  if (file.size() < sizeof length)
    refuse_beginning(file, fmt::format("{} bytes are too few", file.size()));
  file.read(&length, sizeof length);
  if (length > kMaxHeader || length > file.size() - sizeof length)
    refuse_beginning(
        file, fmt::format("the header would have {} bytes in a file of {}", length, file.size()));
  std::string text(length, '\0');
  file.read(text.data(), text.size());
  Header header;
  if (!nlohmann::json::sax_parse(text, &header) && header.fault.empty())
    header.fault = "is not JSON";
  if (!header.fault.empty()) refuse(file.path(), "the header " + header.fault);
  return header;
}

// Entries in the order of their bytes; whatever does not cover the data exactly is refused.
void check_entries(Header& header, const InputFile& file) {
  std::ranges::stable_sort(header.entries, {}, &Entry::offsets);
  const uint64_t data_bytes = file.size() - file.position();
  uint64_t position = 0;
  for (const Entry& e : header.entries) {
    const std::string fault = check_entry(e, position, data_bytes);
    if (!fault.empty()) refuse(file.path(), "tensor '" + e.name + "' " + fault);
    position = e.offsets[1];
  }
  if (position != data_bytes)
    refuse(file.path(), fmt::format("{} bytes follow the last tensor", data_bytes - position));
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const Metadata& metadata) {
  Json header = Json::object();
  Metadata signed_metadata = metadata;
  signed_metadata[kDigest] = digest_of(tensors, metadata);
  header["__metadata__"] = signed_metadata;
  uint64_t offset = 0;
  for (const NamedTensor& t : tensors) {
    const uint64_t end = offset + static_cast<uint64_t>(t.values.size()) * sizeof(float);
    header[t.name] = {{"dtype", "F32"}, {"shape", t.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins on a multiple of 8
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text);
  for (const NamedTensor& t : tensors)
    file.write(t.values.bytes(), static_cast<size_t>(t.values.size()) * sizeof(float));
  file.commit();
}

const NamedTensor* SafeTensors::find(std::string_view name) const {
  const auto it = std::ranges::find(tensors, name, &NamedTensor::name);
  return it == tensors.end() ? nullptr : &*it;
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  InputFile file(path);
  Header header = read_header(file);
  check_entries(header, file);
  Digest digest(header.metadata);
  for (const Entry& e : header.entries)
    digest.add_tensor(e.name, e.dtype, std::span<const uint64_t>(e.shape));

  SafeTensors result;
  for (Entry& e : header.entries) {
    const uint64_t bytes = e.offsets[1] - e.offsets[0];
    std::vector<int64_t> shape(e.shape.begin(), e.shape.end());
    if (e.dtype != "F32") {
      std::string skipped(bytes, '\0');
      file.read(skipped.data(), skipped.size());
      digest.add_data(skipped.data(), skipped.size());
      result.others.push_back({std::move(e.name), std::move(e.dtype), std::move(shape)});
      continue;
    }
    Tensor values({static_cast<int64_t>(bytes / sizeof(float))});
    file.read(values.bytes(), bytes);
    digest.add_data(values.bytes(), bytes);
    result.tensors.push_back({std::move(e.name), std::move(shape), std::move(values)});
  }
  result.metadata = std::move(header.metadata);
  if (const auto stored = result.metadata.extract(kDigest);
      stored && stored.mapped() != digest.hex())
    refuse(path, "its content does not have the SHA-256 that it was written with");
  return result;
}

}  // namespace expunge
