#include <doctest/doctest.h>

#include "data/prepare_sources.h"
#include "support/error.h"
#include "support/temp_dir.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

constexpr size_t kPixels = 3072;

RecordLayout small(RecordLayout layout) {
  layout.records = 4;
  layout.test_records = 3;
  return layout;
}

// Records with label i % classes (fine label behind a coarse one) and pixels that tell plane and
// place apart.
std::string records(int64_t count, const RecordLayout& layout, int seed) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    if (layout.label_bytes == 2) bytes += static_cast<char>(19);
    bytes += static_cast<char>(static_cast<size_t>(i) % layout.classes);
    for (size_t p = 0; p < kPixels; ++p)
      bytes += static_cast<char>(p * 31 + p / 1024 + static_cast<size_t>(i * 5 + seed));
  }
  return bytes;
}

void make_folder(const TempDir& dir, const RecordLayout& layout) {
  int seed = 0;
  for (const std::string& name : layout.train_files)
    put_file(dir / name, records(layout.records, layout, ++seed));
  put_file(dir / layout.test_file, records(layout.test_records, layout, ++seed));
}

}  // namespace

TEST_CASE("cifar: planes become interleaved pixels, labels and sources are kept") {
  for (const RecordLayout& layout : {small(cifar10_layout()), small(cifar100_layout())}) {
    TempDir dir;
    make_folder(dir, layout);
    const Dataset set = read_records(dir.path(), layout).set;
    CHECK(set.train_count == std::ssize(layout.train_files) * 4);
    CHECK(set.test_count == 3);
    CHECK(set.labels[2] == 2);
    CHECK(set.sources[1] == layout.train_files[0] + ":1");
    CHECK(set.classes.size() == layout.classes);
    const std::string first = get_file(dir / layout.train_files[0]);
    const size_t record = kPixels + layout.label_bytes;
    for (const size_t pixel : {0, 1, 33, 1023})
      for (const size_t c : {0, 1, 2})
        CHECK(set.image(1)[pixel * 3 + c] ==
              static_cast<uint8_t>(first[record + layout.label_bytes + c * 1024 + pixel]));
    CHECK(set.ids[0] == id_of(set.image(0), kPixels));
  }
}

TEST_CASE("cifar: class names come from the file beside the records, or the standard ones") {
  const RecordLayout layout = small(cifar10_layout());
  TempDir dir;
  make_folder(dir, layout);
  CHECK(read_records(dir.path(), layout).set.classes[1] == "automobile");
  put_file(dir / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\r\ni\nj\n\n");
  CHECK(read_records(dir.path(), layout).set.classes[7] == "h");
  put_file(dir / "batches.meta.txt", "a\nb\n");
  CHECK(contains(error_text([&] { read_records(dir.path(), layout); }), "2 class names"));
}

TEST_CASE(
    "cifar: R12: wrong sizes, labels out of range and missing files are refused with the place") {
  const RecordLayout layout = small(cifar10_layout());
  TempDir dir;
  make_folder(dir, layout);
  const std::string good = get_file(dir / "data_batch_3.bin");
  const auto refused = [&](const std::string& bytes) {
    put_file(dir / "data_batch_3.bin", bytes);
    CHECK(error_code([&] { read_records(dir.path(), layout); }) == ExitCode::input);
    return error_text([&] { read_records(dir.path(), layout); });
  };
  CHECK(contains(refused(good + "x"), "12293 bytes, a CIFAR-10 file has 12292"));
  CHECK(contains(refused(good.substr(1)), "12291 bytes"));
  std::string label = good;
  label[2 * 3073] = 10;
  CHECK(contains(refused(label), "record 2 (byte 6146) has label 10, expected 0 to 9"));
  std::filesystem::remove(dir / "data_batch_3.bin");
  CHECK(contains(error_text([&] { read_records(dir.path(), layout); }), "no such file"));
}

TEST_CASE("cifar: prepare recognises both folders and demands the published sizes") {
  TempDir dir;
  make_folder(dir, small(cifar10_layout()));
  CHECK(contains(error_text([&] { prepare(dir.path(), {}); }), "a CIFAR-10 file has 30730000"));
  TempDir other;
  make_folder(other, small(cifar100_layout()));
  CHECK(contains(error_text([&] { prepare(other.path(), {}); }), "a CIFAR-100 file has 153700000"));
}
