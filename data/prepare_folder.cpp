#include <algorithm>
#include <map>

#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "data/image.h"
#include "data/prepare_sources.h"
#include "data/resize.h"

namespace expunge::data {
namespace fs = std::filesystem;
namespace {

struct Found {
  std::string source;  // path below the root: train/cat/0001.jpg
  uint16_t label;
};

// What became of a file; the pixels go straight into the set.
struct Outcome {
  ImageSize size;
  SampleId id;
  std::string reason;  // why it is bad; empty: it is good
};

struct Entry {
  std::string name;
  bool link = false, folder = false;
};

class Folder {
 public:
  explicit Folder(const fs::path& root) : root_(root), real_root_(fs::canonical(root)) {}

  // Entries of a folder in bytewise order, hidden ones left out.
  std::vector<Entry> entries(const std::string& folder) const {
    std::vector<Entry> found;
    std::error_code error, unknown;
    for (fs::directory_iterator it(root_ / folder, error), end; !error && it != end;
         it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (!name.starts_with('.'))
        found.push_back({name, it->is_symlink(unknown), it->is_directory(unknown)});
    }
    if (error)
      fail(ExitCode::io, "{}: cannot list: {}", (root_ / folder).string(), error.message());
    std::sort(found.begin(), found.end(),
              [](const Entry& a, const Entry& b) { return a.name < b.name; });
    return found;
  }
  // A link may lead to another place of the data set, not out of it.
  bool leads_out(const std::string& source) const {
    std::error_code error;
    const fs::path real = fs::canonical(root_ / source, error);
    if (error) return false;  // a dangling link: opening it says so
    return std::mismatch(real_root_.begin(), real_root_.end(), real.begin(), real.end()).first !=
           real_root_.end();
  }
  std::string file(const std::string& source) const { return (root_ / source).string(); }

 private:
  fs::path root_, real_root_;
};

bool has_image_name(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

constexpr const char* kLeadsOut = "is a link that leads out of the data set, not followed";

// Classes of "train/", "test/" or "", the root: the folders there. Anything else there is bad.
std::vector<std::string> find_classes(const Folder& folder, const std::string& part,
                                      std::vector<BadFile>& bad) {
  if (folder.leads_out(part)) fail(ExitCode::input, "{}: {}", folder.file(part), kLeadsOut);
  std::vector<std::string> names;
  for (const Entry& entry : folder.entries(part)) {
    const std::string source = part + entry.name;
    if (entry.link && folder.leads_out(source))
      bad.push_back({folder.file(source), kLeadsOut});
    else if (entry.folder)
      names.push_back(entry.name);
    else
      bad.push_back({folder.file(source), "lies beside the class folders, expected in one"});
  }
  return names;
}

void find_images(const Folder& folder, const std::string& class_folder, uint16_t label,
                 std::vector<Found>& files, std::vector<BadFile>& bad) {
  for (const Entry& entry : folder.entries(class_folder)) {
    const std::string source = class_folder + "/" + entry.name;
    if (entry.link && folder.leads_out(source))
      bad.push_back({folder.file(source), kLeadsOut});
    else if (entry.folder)
      bad.push_back({folder.file(source), "is a folder inside a class folder"});
    else if (!has_image_name(entry.name))
      bad.push_back({folder.file(source), "is not named .jpg, .jpeg or .png"});
    else
      files.push_back({source, label});
  }
}

void find_test_images(const Folder& folder, const Dataset& set, std::vector<Found>& files,
                      std::vector<BadFile>& bad) {
  std::vector<std::string> unknown;
  for (const std::string& name : find_classes(folder, "test/", bad)) {
    const auto known = std::lower_bound(set.classes.begin(), set.classes.end(), name);
    if (known == set.classes.end() || *known != name)
      unknown.push_back("test/" + name);
    else
      find_images(folder, "test/" + name, static_cast<uint16_t>(known - set.classes.begin()), files,
                  bad);
  }
  if (!unknown.empty())
    fail(ExitCode::input, "{}: {} classes of test/ are not in train/:{}", folder.file(""),
         unknown.size(), listing(unknown));
}

// All images, training part first; sets classes.
std::vector<Found> find_all(const Folder& folder, const fs::path& root, Dataset& set,
                            std::vector<BadFile>& bad, size_t& train_files) {
  const std::string part = fs::is_directory(root / "train") ? "train/" : "";
  set.classes = find_classes(folder, part, bad);
  if (set.classes.empty() || set.classes.size() > 65536)
    fail(ExitCode::input, "{}: {} class folders, expected 1 to 65536", folder.file(part),
         set.classes.size());
  std::vector<Found> files;
  for (size_t i = 0; i < set.classes.size(); ++i)
    find_images(folder, part + set.classes[i], static_cast<uint16_t>(i), files, bad);
  train_files = files.size();
  if (!part.empty() && fs::is_directory(root / "test")) find_test_images(folder, set, files, bad);
  return files;
}

// Runs `look` on a file's bytes and keeps why it failed.
template <class Look>
void guarded(const std::string& path, Outcome& out, Look look) {
  if (!out.reason.empty()) return;
  try {
    look(read_file(path, kMaxImageFile));
  } catch (const Error& error) {
    const std::string_view text = error.what();  // file errors begin with the path
    out.reason = text.starts_with(path + ": ") ? text.substr(path.size() + 2) : text;
  }
}

using SizeCounts = std::map<ImageSize, int64_t>;

ImageSize most_common(const SizeCounts& counts) {
  const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
  return counts.empty() ? ImageSize{}
                        : std::max_element(counts.begin(), counts.end(), fewer)->first;
}

// Sizes first, from the headers: memory is taken for one size only.
SizeCounts look_at_sizes(const Folder& folder, const std::vector<Found>& files,
                         std::vector<Outcome>& outcomes) {
  parallel_for(std::ssize(files), [&](int64_t n) {
    Outcome& out = outcomes[static_cast<size_t>(n)];
    guarded(folder.file(files[static_cast<size_t>(n)].source), out,
            [&](const std::string& bytes) { out.size = image_size(bytes); });
  });
  SizeCounts counts;
  for (const Outcome& out : outcomes)
    if (out.reason.empty()) ++counts[out.size];
  return counts;
}

// Decodes every file, so that all bad ones are known; images of the set's size are kept, and others
// too where they are to be resized.
void decode_all(const Folder& folder, const std::vector<Found>& files, bool resize,
                std::vector<Outcome>& outcomes, Dataset& set) {
  const ImageSize size{set.height, set.width};
  const auto bytes_each = static_cast<size_t>(set.image_bytes());
  set.pixels.resize(files.size() * bytes_each);
  parallel_for(std::ssize(files), [&](int64_t n) {
    const auto i = static_cast<size_t>(n);
    guarded(folder.file(files[i].source), outcomes[i], [&](const std::string& bytes) {
      outcomes[i].id = id_of(bytes.data(), bytes.size());
      Image image = decode_image(bytes);
      if (image.size != size && resize) image = resized(image, size);
      if (image.size == size)
        std::copy(image.pixels.begin(), image.pixels.end(), set.pixels.data() + i * bytes_each);
    });
  });
}

void check_sizes(const fs::path& root, const std::vector<Found>& files,
                 const std::vector<Outcome>& outcomes, ImageSize most) {
  std::vector<std::string> others;
  for (size_t i = 0; i < files.size(); ++i)
    if (outcomes[i].reason.empty() && outcomes[i].size != most)
      others.push_back(fmt::format("{}: {} x {}", files[i].source, outcomes[i].size.width,
                                   outcomes[i].size.height));
  if (others.empty()) return;
  fail(ExitCode::input,
       "{}: {} of {} images are not {} x {} as the others are; --resize N makes all of them N x "
       "N:{}",
       root.string(), others.size(), files.size(), most.width, most.height, listing(others));
}

void refuse_bad(const fs::path& root, const std::vector<BadFile>& bad) {
  std::vector<std::string> lines;
  for (const BadFile& file : bad) lines.push_back(file.path + ": " + file.reason);
  fail(ExitCode::input, "{}: {} bad files (--skip-bad leaves them out):{}", root.string(),
       bad.size(), listing(lines));
}

void check_classes_filled(const fs::path& root, const Dataset& set) {
  std::vector<std::string> empty;
  const std::vector<int64_t> counts = set.class_counts(0, set.train_count);
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] == 0) empty.push_back(set.classes[i]);
  if (!empty.empty())
    fail(ExitCode::input, "{}: {} classes have no readable training image:{}", root.string(),
         empty.size(), listing(empty));
  if (set.test_count == 0 && fs::is_directory(root / "train") && fs::is_directory(root / "test"))
    fail(ExitCode::input, "{}: test/ has no readable image", root.string());
}

// Moves good samples together and names them; pixels of bad ones are overwritten.
void keep_good(const std::vector<Found>& files, const std::vector<Outcome>& outcomes,
               size_t train_files, const Folder& folder, Dataset& set, std::vector<BadFile>& bad) {
  const auto bytes = static_cast<size_t>(set.image_bytes());
  size_t kept = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (!outcomes[i].reason.empty()) {
      bad.push_back({folder.file(files[i].source), outcomes[i].reason});
      continue;
    }
    if (kept != i)
      std::copy_n(set.pixels.data() + i * bytes, bytes, set.pixels.data() + kept * bytes);
    set.labels.push_back(files[i].label);
    set.ids.push_back(outcomes[i].id);
    set.sources.push_back(files[i].source);
    ++(i < train_files ? set.train_count : set.test_count);
    ++kept;
  }
  set.pixels.resize(kept * bytes);
}

}  // namespace

bool holds_classes(const fs::path& root) {
  const Folder folder(root);
  for (const Entry& entry : folder.entries(""))
    if (entry.folder && !folder.leads_out(entry.name))
      for (const Entry& file : folder.entries(entry.name))
        if (has_image_name(file.name)) return true;
  return false;
}

Prepared read_image_folder(const fs::path& root, const PrepareOptions& options) {
  Prepared prepared;
  Dataset& set = prepared.set;
  const Folder folder(root);
  size_t train_files = 0;
  const std::vector<Found> files = find_all(folder, root, set, prepared.bad, train_files);
  set.channels = 3;
  set.id_source = IdSource::file;
  if (files.empty() && prepared.bad.empty())
    fail(ExitCode::input, "{}: its class folders hold no image", root.string());
  std::vector<Outcome> outcomes(files.size());
  const SizeCounts sizes = look_at_sizes(folder, files, outcomes);
  const bool resize = options.resize > 0;
  const ImageSize size = resize ? ImageSize{options.resize, options.resize} : most_common(sizes);
  set.height = size.height, set.width = size.width;
  decode_all(folder, files, resize, outcomes, set);
  keep_good(files, outcomes, train_files, folder, set, prepared.bad);
  std::sort(prepared.bad.begin(), prepared.bad.end(),
            [](const BadFile& a, const BadFile& b) { return a.path < b.path; });
  if (!prepared.bad.empty() && !options.skip_bad) refuse_bad(root, prepared.bad);
  if (!resize) check_sizes(root, files, outcomes, size);
  check_classes_filled(root, set);
  return prepared;
}

}  // namespace expunge::data
