#include "data/prepare.h"

#include <algorithm>

#include "core/check.h"
#include "core/file.h"
#include "data/prepare_sources.h"

namespace expunge::data {
namespace fs = std::filesystem;
namespace {

constexpr const char* kExpected =
    "expected a folder with train/<class>/*.jpg|jpeg|png and test/<class>/..., or the CIFAR-10 or "
    "CIFAR-100 binary folder (data_batch_1.bin ... or train.bin)";

bool has(const fs::path& root, const char* name) {
  std::error_code ignored;
  return fs::exists(root / name, ignored);
}

Prepared read_source(const fs::path& root, bool skip_bad) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    InputFile file(root);  // says why where it cannot be read
    std::string head(std::min<uint64_t>(file.size(), 512), '\0');
    file.read(head.data(), head.size());
    fail(ExitCode::input, "{}: is {}; {}", root.string(), looks_like(head), kExpected);
  }
  if (has(root, "data_batch_1.bin") || has(root, "test_batch.bin"))
    return read_records(root, cifar10_layout());
  if (has(root, "train.bin") || has(root, "test.bin")) return read_records(root, cifar100_layout());
  if (has(root, "train")) {
    if (fs::is_directory(root / "train", error)) return read_image_folder(root, skip_bad);
  }
  if (has(root, "data_batch_1") || has(root, "meta"))
    fail(ExitCode::input,
         "{}: holds the Python version of CIFAR (pickle files), which is not read: take the binary "
         "version",
         root.string());
  for (const char* inner : {"cifar-10-batches-bin", "cifar-100-binary"})
    if (has(root, inner))
      fail(ExitCode::input, "{}: give the folder {} inside it", root.string(), inner);
  fail(ExitCode::input, "{}: holds no known data set; {}", root.string(), kExpected);
}

std::string folder_name(const fs::path& root) {
  const fs::path whole = fs::absolute(root).lexically_normal();  // "." has a name too
  const fs::path name = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  return name.empty() ? "data" : name.string();
}

}  // namespace

std::string listing(const std::vector<std::string>& lines) {
  std::string text;
  for (size_t i = 0; i < std::min(lines.size(), kListed); ++i) text += "\n  " + lines[i];
  if (lines.size() > kListed) text += fmt::format("\n  ... and {} more", lines.size() - kListed);
  return text;
}

Prepared prepare(const fs::path& source, const PrepareOptions& options) {
  const fs::path root = source.lexically_normal();
  Prepared prepared = read_source(root, options.skip_bad);
  prepared.set.name = !options.name.empty() ? options.name : folder_name(root);
  summarize(prepared.set);
  return prepared;
}

}  // namespace expunge::data
