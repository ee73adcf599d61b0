#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace expunge::data {

// First 128 bits of SHA-256 over the source bytes of an image file, or the pixels of a record; the
// label is left out. Identical copies share an id and are forgotten together.
struct SampleId {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const SampleId&) const = default;
  std::string hex() const;  // 32 digits
  static bool parse(std::string_view text, SampleId& id);
};

// What the ids are taken over: only those of records can be checked again from the pixels.
enum class IdSource : uint8_t { file, pixels };

// A patch that makes a poisoned image: a black square of side x side pixels, `margin` away from the
// lower and the right edge, on an image labelled `target`. (4 and 2: Unlearn-Sparse, Jia et al.
// 2023.)
struct Trigger {
  int64_t target = 0, side = 4, margin = 2;
  bool operator==(const Trigger&) const = default;
};

// A whole data set in memory: uint8 images (H, W, C), training part first, then the test part.
struct Dataset {
  std::string name;
  int64_t height = 0, width = 0, channels = 0;
  std::vector<std::string> classes;
  int64_t train_count = 0, test_count = 0;
  std::vector<uint8_t> pixels;   // (train + test, H, W, C)
  std::vector<uint16_t> labels;  // (train + test)
  std::vector<SampleId> ids;     // (train + test)
  IdSource id_source = IdSource::pixels;
  std::vector<std::string> sources;    // (train + test) path or record the sample came from
  std::array<float, 3> mean{}, std{};  // per channel, of pixels / 255 over the training part
  std::string digest;  // SHA-256 of all of the above but name, mean and std, hex: what runs pin
  // What was spoilt on purpose (data/corrupt.h): ids of training samples, ascending.
  std::vector<SampleId> mislabeled, poisoned;
  Trigger trigger;  // of the poisoned ones

  int64_t count() const { return train_count + test_count; }
  int64_t image_bytes() const { return height * width * channels; }
  const uint8_t* image(int64_t i) const { return pixels.data() + i * image_bytes(); }
  // All pixels where the stream works; sent once. The set must not change afterwards.
  const uint8_t* pixels_at(Stream stream) const;
  std::optional<size_t> find_class(std::string_view name_or_index) const;
  std::vector<int64_t> class_counts(int64_t begin, int64_t end) const;  // samples [begin, end)

 private:
  mutable Tensor sent_{};  // the pixels on a GPU
};

SampleId id_of(const void* bytes, size_t size);
void ids_from_pixels(Dataset& set);

// Fills mean, std and digest from the rest; a constant channel has std 1. Sums are of integers, so
// they do not depend on any order.
void summarize(Dataset& set);

// The packed file: one file, little-endian, checked sizes (docs/packed-format.md). Writing is
// atomic.
void write_packed(const std::filesystem::path& path, const Dataset& set);
Dataset read_packed(
    const std::filesystem::path& path);  // checks structure; ExitCode::input names the fault
Dataset verify_packed(
    const std::filesystem::path& path);  // also every hash, label and id; ::verification

// "builtin" or a packed file's path.
Dataset open_dataset(const std::string& name_or_path);

}  // namespace expunge::data
