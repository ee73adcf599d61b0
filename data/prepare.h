#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace expunge::data {

struct PrepareOptions {
  std::string name = {};  // empty: the source folder's name
  bool skip_bad = false;  // leave unreadable images out instead of refusing
};

struct BadFile {
  std::string path, reason;
};

struct Prepared {
  Dataset set;
  std::vector<BadFile> bad;  // with skip_bad: what was left out
};

// Recognises the source: a folder train/<class>/*.jpg|jpeg|png with test/ beside it, or the
// CIFAR-10 or CIFAR-100 binary folder. All bad files are listed at once (ExitCode::input). Classes
// in name order.
Prepared prepare(const std::filesystem::path& source, const PrepareOptions& options);

}  // namespace expunge::data
