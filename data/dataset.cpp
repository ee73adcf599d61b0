#include "data/dataset.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "core/check.h"
#include "core/memory_cuda.h"
#include "core/parallel.h"
#include "core/sha256.h"
#include "data/builtin.h"

namespace expunge::data {
namespace {

static_assert(std::endian::native == std::endian::little, "packed files are little-endian");

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Over numbers as 64 bits, strings ended by a zero byte (neither names nor paths hold one), and the
// arrays as they are stored.
std::string content_digest(const Dataset& set) {
  Sha256 hash;
  const auto numbers = {set.height,
                        set.width,
                        set.channels,
                        set.train_count,
                        set.test_count,
                        static_cast<int64_t>(set.classes.size()),
                        static_cast<int64_t>(set.id_source)};
  for (const int64_t n : numbers) hash.update(&n, sizeof n);
  for (const std::string& name : set.classes) hash.update(name.c_str(), name.size() + 1);
  hash.update(set.pixels.data(), set.pixels.size());
  hash.update(set.labels.data(), set.labels.size() * sizeof(uint16_t));
  hash.update(set.ids.data(), set.ids.size() * sizeof(SampleId));
  for (const std::string& source : set.sources) hash.update(source.c_str(), source.size() + 1);
  return to_hex(hash.digest());
}

struct Moments {
  uint64_t sum[3] = {}, squares[3] = {};
};

Moments training_moments(const Dataset& set) {
  Moments total;
  const uint8_t* p = set.pixels.data();
  const auto channels = static_cast<size_t>(set.channels);
  for (int64_t i = 0; i < set.train_count * set.height * set.width; ++i, p += channels) {
    for (size_t c = 0; c < channels; ++c) {
      total.sum[c] += p[c];
      total.squares[c] += uint64_t{p[c]} * p[c];
    }
  }
  return total;
}

}  // namespace

std::string SampleId::hex() const {
  return to_hex(bytes);
}

bool SampleId::parse(std::string_view text, SampleId& id) {
  if (text.size() != 2 * id.bytes.size()) return false;
  SampleId parsed;
  for (size_t i = 0; i < parsed.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    parsed.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  id = parsed;
  return true;
}

const uint8_t* Dataset::pixels_at(Stream stream) const {
  if (stream.device == Device::cpu) return pixels.data();
  if (!sent_) {
    sent_ = Tensor({std::ssize(pixels)}, DType::u8, stream);
    if constexpr (kCudaBuild) cuda_upload(stream, sent_.bytes(), pixels.data(), pixels.size());
  }
  return sent_.as<uint8_t>();
}

std::optional<size_t> Dataset::find_class(std::string_view name_or_index) const {
  const auto named = std::ranges::find(classes, name_or_index);
  if (named != classes.end()) return static_cast<size_t>(named - classes.begin());
  size_t index = 0;
  const char* end = name_or_index.data() + name_or_index.size();
  const auto [stop, error] = std::from_chars(name_or_index.data(), end, index);
  if (error != std::errc() || stop != end || index >= classes.size()) return std::nullopt;
  return index;
}

std::vector<int64_t> Dataset::class_counts(int64_t begin, int64_t end) const {
  EXPUNGE_CHECK(0 <= begin && begin <= end && end <= count(),
                "class_counts: samples [{}, {}) of {}", begin, end, count());
  std::vector<int64_t> counts(classes.size());
  for (int64_t i = begin; i < end; ++i) ++counts[labels[static_cast<size_t>(i)]];
  return counts;
}

SampleId id_of(const void* bytes, size_t size) {
  const Sha256Digest digest = sha256(bytes, size);
  SampleId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

void ids_from_pixels(Dataset& set) {
  set.ids.resize(static_cast<size_t>(set.count()));
  set.id_source = IdSource::pixels;
  constexpr int64_t kChunk = 256;
  parallel_for((set.count() + kChunk - 1) / kChunk, [&](int64_t chunk) {
    const int64_t end = std::min(set.count(), (chunk + 1) * kChunk);
    for (int64_t i = chunk * kChunk; i < end; ++i)
      set.ids[static_cast<size_t>(i)] = id_of(set.image(i), static_cast<size_t>(set.image_bytes()));
  });
}

void summarize(Dataset& set) {
  EXPUNGE_CHECK(set.channels >= 1 && set.channels <= 3, "data set: {} channels, expected 1 to 3",
                set.channels);
  const Moments moments = training_moments(set);
  const double n = static_cast<double>(set.train_count * set.height * set.width);
  set.mean = {}, set.std = {};
  for (size_t c = 0; c < static_cast<size_t>(set.channels); ++c) {
    const double mean = static_cast<double>(moments.sum[c]) / n;
    const double variance = static_cast<double>(moments.squares[c]) / n - mean * mean;
    set.mean[c] = static_cast<float>(mean / 255);
    set.std[c] = variance > 0 ? static_cast<float>(std::sqrt(variance) / 255) : 1.0f;
  }
  set.digest = content_digest(set);
}

Dataset open_dataset(const std::string& name_or_path) {
  return name_or_path == "builtin" ? make_builtin() : read_packed(name_or_path);
}

}  // namespace expunge::data
