#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace expunge::data {

struct PrepareOptions {
  std::string name = {};  // empty: the source's name
  bool skip_bad = false;  // leave unreadable images out instead of refusing
  int64_t resize = 0;     // images become this high and wide (data/resize.h); 0: all have one size
  double test_fraction = 0;  // of each class, for a source that has no test part
};

struct BadFile {
  std::string path, reason;
};

struct Prepared {
  Dataset set;
  std::vector<BadFile> bad;  // with skip_bad: what was left out
};

// Recognises the source: a folder train/<class>/*.jpg|jpeg|png with test/ beside it, one of class
// folders, the CIFAR-10 or CIFAR-100 binary folder, SVHN's .mat files or one of them. All bad files
// are listed at once (ExitCode::input). Classes in name order.
Prepared prepare(const std::filesystem::path& source, const PrepareOptions& options);

}  // namespace expunge::data
