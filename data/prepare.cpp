#include "data/prepare.h"

#include <algorithm>

#include "core/check.h"
#include "core/file.h"
#include "data/prepare_sources.h"

namespace expunge::data {
namespace fs = std::filesystem;
namespace {

constexpr const char* kExpected =
    "expected a folder with train/<class>/*.jpg|jpeg|png and test/<class>/..., one of class "
    "folders, "
    "the CIFAR-10 or CIFAR-100 binary folder (data_batch_1.bin ... or train.bin), or SVHN's .mat "
    "files";

bool has(const fs::path& root, const char* name) {
  std::error_code ignored;
  return fs::exists(root / name, ignored);
}

std::string first_bytes(const fs::path& path) {
  InputFile file(path);  // says why where it cannot be read
  std::string head(std::min<uint64_t>(file.size(), 512), '\0');
  file.read(head.data(), head.size());
  return head;
}

Prepared read_single_file(const fs::path& path) {
  const std::string head = first_bytes(path);
  if (looks_like(head) == "a MATLAB file") return read_svhn({path}, {});
  fail(ExitCode::input, "{}: is {}; {}", path.string(), looks_like(head), kExpected);
}

Prepared read_source(const fs::path& root, const PrepareOptions& options) {
  std::error_code error;
  if (!fs::is_directory(root, error)) return read_single_file(root);
  if (has(root, "data_batch_1.bin") || has(root, "test_batch.bin"))
    return read_records(root, cifar10_layout());
  if (has(root, "train.bin") || has(root, "test.bin")) return read_records(root, cifar100_layout());
  if (has(root, "train_32x32.mat"))
    return read_svhn({root / "train_32x32.mat"},
                     has(root, "test_32x32.mat") ? root / "test_32x32.mat" : fs::path());
  if (fs::is_directory(root / "train", error)) return read_image_folder(root, options);
  if (has(root, "data_batch_1") || has(root, "meta"))
    fail(ExitCode::input,
         "{}: holds the Python version of CIFAR (pickle files), which is not read: take the binary "
         "version",
         root.string());
  for (const char* inner : {"cifar-10-batches-bin", "cifar-100-binary"})
    if (has(root, inner))
      fail(ExitCode::input, "{}: give the folder {} inside it", root.string(), inner);
  if (holds_classes(root)) return read_image_folder(root, options);
  fail(ExitCode::input, "{}: holds no known data set; {}", root.string(), kExpected);
}

void give_test_part(const fs::path& root, Dataset& set, double fraction) {
  if (set.test_count > 0 && fraction > 0)
    fail(ExitCode::usage, "{}: has a test part, --test-fraction is for sources without one",
         root.string());
  if (set.test_count == 0 && fraction <= 0)
    fail(ExitCode::input,
         "{}: has no test part; --test-fraction 0.2 would hold out that share of each class",
         root.string());
  if (set.test_count == 0) split_off_test(set, fraction);
}

std::string source_name(const fs::path& root) {
  const fs::path whole = fs::absolute(root).lexically_normal();  // "." has a name too
  const fs::path last = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  const fs::path name = fs::is_directory(root) ? last : last.stem();
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
  Prepared prepared = read_source(root, options);
  give_test_part(root, prepared.set, options.test_fraction);
  prepared.set.name = !options.name.empty() ? options.name : source_name(root);
  summarize(prepared.set);
  return prepared;
}

}  // namespace expunge::data
