#include "core/check.h"
#include "core/file.h"
#include "data/mat_file.h"
#include "data/prepare_sources.h"

namespace expunge::data {
namespace fs = std::filesystem;
namespace {

// SVHN stores the digit 0 as label 10.
void append_digits(const fs::path& path, Dataset& set) {
  const MatDigits digits = read_mat_digits(path);
  set.pixels.insert(set.pixels.end(), digits.pixels.begin(), digits.pixels.end());
  for (int64_t i = 0; i < digits.count; ++i) {
    set.labels.push_back(digits.labels[static_cast<size_t>(i)] % 10);
    set.sources.push_back(fmt::format("{}:{}", path.filename().string(), i));
  }
}

}  // namespace

Prepared read_svhn(const std::vector<fs::path>& train, const fs::path& test) {
  Prepared prepared;
  Dataset& set = prepared.set;
  set.height = set.width = 32;
  set.channels = 3;
  for (int digit = 0; digit < 10; ++digit) set.classes.push_back(std::to_string(digit));
  for (const fs::path& path : train) append_digits(path, set);
  set.train_count = std::ssize(set.labels);
  if (!test.empty()) append_digits(test, set);
  set.test_count = std::ssize(set.labels) - set.train_count;
  ids_from_pixels(set);
  return prepared;
}

}  // namespace expunge::data
