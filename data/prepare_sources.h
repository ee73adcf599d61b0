#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/prepare.h"

// The layouts prepare() knows. Each reader fills everything but name, mean, std and digest.
namespace expunge::data {

inline constexpr size_t kListed = 20;  // of a long list, what a message shows

// "a\nb\n... and 5 more", each line indented.
std::string listing(const std::vector<std::string>& lines);

// train/<class>/*.{jpg,jpeg,png} and test/<class>/...; without a test part, or where the classes
// lie in the root itself, everything is training part.
Prepared read_image_folder(const std::filesystem::path& root, const PrepareOptions& options);
bool holds_classes(const std::filesystem::path& root);  // a folder with an image in it

// SVHN's MATLAB files; `test` may be empty.
Prepared read_svhn(const std::vector<std::filesystem::path>& train,
                   const std::filesystem::path& test);

// Moves a share of each class from the training to the test part: the samples with the smallest
// ids, which are as good as drawn by lot and depend on nothing but the images. Copies stay
// together.
void split_off_test(Dataset& set, double fraction);

// Binary files of records: label bytes, of which the last counts, then 32 x 32 pixels, a plane
// each of red, green and blue.
struct RecordLayout {
  const char* name;
  std::vector<std::string> train_files;
  std::string test_file;
  int64_t records;  // in each training file
  int64_t test_records;
  size_t label_bytes;
  size_t classes;
  std::string names_file;                   // class names, one a line; may be missing
  std::vector<std::string> standard_names;  // for then; empty: "00", "01", ...
};
RecordLayout cifar10_layout();
RecordLayout cifar100_layout();
Prepared read_records(const std::filesystem::path& root, const RecordLayout& layout);

}  // namespace expunge::data
