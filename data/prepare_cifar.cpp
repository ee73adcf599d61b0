#include <algorithm>
#include <sstream>

#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "data/prepare_sources.h"

namespace expunge::data {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kImage = 3 * kPlane;

std::vector<std::string> class_names(const fs::path& root, const RecordLayout& layout) {
  std::vector<std::string> names = layout.standard_names;
  if (names.empty())
    for (size_t i = 0; i < layout.classes; ++i) names.push_back(fmt::format("{:02}", i));
  const fs::path path = root / layout.names_file;
  if (!fs::exists(path)) return names;
  names.clear();
  std::istringstream text(read_file(path, uint64_t{1} << 20));
  for (std::string line; std::getline(text, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != layout.classes)
    fail(ExitCode::input, "{}: {} class names, expected {}", path.string(), names.size(),
         layout.classes);
  return names;
}

// planes (C, H, W) -> pixels (H, W, C)
void interleave(const uint8_t* planes, uint8_t* pixels) {
  for (int64_t i = 0; i < kPlane; ++i)
    for (int64_t c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c * kPlane + i];
}

void append_records(const fs::path& path, const RecordLayout& layout, int64_t records,
                    Dataset& set) {
  const size_t record = layout.label_bytes + static_cast<size_t>(kImage);
  const uint64_t expected = static_cast<uint64_t>(records) * record;
  InputFile file(path);
  if (file.size() != expected)
    fail(ExitCode::input, "{}: {} bytes, a {} file has {} ({} records of {})", path.string(),
         file.size(), layout.name, expected, records, record);
  std::vector<uint8_t> bytes(expected);
  file.read(bytes.data(), bytes.size());
  const size_t first = set.labels.size();
  for (int64_t i = 0; i < records; ++i) {
    const size_t offset = static_cast<size_t>(i) * record + layout.label_bytes - 1;
    if (bytes[offset] >= layout.classes)
      fail(ExitCode::input, "{}: record {} (byte {}) has label {}, expected 0 to {}", path.string(),
           i, offset, bytes[offset], layout.classes - 1);
    set.labels.push_back(bytes[offset]);
    set.sources.push_back(fmt::format("{}:{}", path.filename().string(), i));
  }
  set.pixels.resize(set.labels.size() * kImage);
  parallel_for(records, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    interleave(bytes.data() + at * record + layout.label_bytes,
               set.pixels.data() + (first + at) * kImage);
  });
}

}  // namespace

RecordLayout cifar10_layout() {
  return {.name = "CIFAR-10",
          .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                          "data_batch_4.bin", "data_batch_5.bin"},
          .test_file = "test_batch.bin",
          .records = 10000,
          .test_records = 10000,
          .label_bytes = 1,
          .classes = 10,
          .names_file = "batches.meta.txt",
          .standard_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog",
                             "horse", "ship", "truck"}};
}

RecordLayout cifar100_layout() {
  return {.name = "CIFAR-100",
          .train_files = {"train.bin"},
          .test_file = "test.bin",
          .records = 50000,
          .test_records = 10000,
          .label_bytes = 2,  // coarse, fine
          .classes = 100,
          .names_file = "fine_label_names.txt",
          .standard_names = {}};
}

Prepared read_records(const fs::path& root, const RecordLayout& layout) {
  Prepared prepared;
  Dataset& set = prepared.set;
  set.height = set.width = kSide;
  set.channels = 3;
  set.classes = class_names(root, layout);
  set.train_count = std::ssize(layout.train_files) * layout.records;
  set.test_count = layout.test_records;
  set.pixels.reserve(static_cast<size_t>(set.count() * kImage));
  for (const std::string& name : layout.train_files)
    append_records(root / name, layout, layout.records, set);
  append_records(root / layout.test_file, layout, layout.test_records, set);
  ids_from_pixels(set);
  return prepared;
}

}  // namespace expunge::data
