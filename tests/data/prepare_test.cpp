#include "data/prepare.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/parallel.h"
#include "core/sha256.h"
#include "data/image.h"
#include "data/prepare_sources.h"
#include "data/resize.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/data/image_files.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

std::string refusal(const TempDir& dir) {
  return error_text([&] { prepare(dir.path(), {}); });
}

}  // namespace

TEST_CASE("prepare: a folder of images becomes a data set in sorted order") {
  TempDir dir;
  make_tree(dir.path(), 3, 2);
  const Prepared prepared = prepare(dir.path(), {.name = "pets"});
  const Dataset& set = prepared.set;
  CHECK(set.name == "pets");
  CHECK(set.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(set.train_count == 6);
  CHECK(set.test_count == 4);
  CHECK(set.labels == std::vector<uint16_t>{0, 0, 0, 1, 1, 1, 0, 0, 1, 1});
  CHECK(set.sources[4] == "train/dog/1.png");
  CHECK(set.sources[9] == "test/dog/1.jpg");
  CHECK(set.height == 8);
  CHECK(set.width == 6);
  const std::string file = get_file(dir / "train/dog/1.png");
  CHECK(set.ids[4].hex() == to_hex(sha256(file.data(), file.size())).substr(0, 32));
  const Image image = read_image(dir / "train/dog/1.png");
  CHECK(std::equal(image.pixels.begin(), image.pixels.end(), set.image(4)));
  CHECK(prepare(dir.path() / "", {}).set.name == dir.path().filename());
  CHECK(set.class_counts(0, 6) == std::vector<int64_t>{3, 3});
  CHECK(set.digest.size() == 64);
}

TEST_CASE("prepare: the result does not depend on the number of threads") {
  TempDir dir;
  make_tree(dir.path(), 20, 2);
  set_thread_count(1);
  const Prepared one = prepare(dir.path(), {});
  set_thread_count(3);
  const Prepared three = prepare(dir.path(), {});
  set_thread_count(0);
  CHECK(one.set.digest == three.set.digest);
  CHECK(one.set.mean == three.set.mean);
}

TEST_CASE(
    "prepare: R13: all bad files are listed at once; skip_bad keeps the others and their ids") {
  TempDir dir, outside;
  make_tree(dir.path(), 4, 2);
  const Prepared clean = prepare(dir.path(), {});
  const std::string whole = get_file(dir / "train/cat/1.png");
  put_file(dir / "train/cat/1.png", whole.substr(0, whole.size() - 1));
  put_file(dir / "train/cat/9.jpg", "");
  put_file(dir / "train/dog/9.jpeg", "<!doctype html>not found");
  put_file(dir / "train/dog/notes.txt", "labels");
  put_file(dir / "train/dog/.hidden", "ignored");
  put_file(dir / "train/loose.png", whole);
  put_file(dir / "train/cat/deeper/1.png", whole);
  put_file(outside / "secret.png", whole);
  std::filesystem::create_symlink(outside / "secret.png", dir / "train/cat/link.png");
  std::filesystem::create_symlink("nowhere.png", dir / "train/cat/dangling.png");
  std::filesystem::create_symlink("../cat/0.png", dir / "train/dog/inside.png");
  REQUIRE(::mkfifo((dir / "test/cat/pipe.png").c_str(), 0600) == 0);

  const std::string text = refusal(dir);
  CHECK(contains(text, "9 bad files"));
  CHECK(contains(text, "train/cat/1.png: is a PNG image cut short"));
  CHECK(contains(text, "train/cat/9.jpg: is empty"));
  CHECK(contains(text, "train/dog/9.jpeg: is an HTML page"));
  CHECK(contains(text, "train/dog/notes.txt: is not named"));
  CHECK(contains(text, "train/loose.png: lies beside"));
  CHECK(contains(text, "train/cat/deeper: is a folder"));
  CHECK(contains(text, "train/cat/link.png: is a link that leads out"));
  CHECK(contains(text, "train/cat/dangling.png: no such file"));
  CHECK(contains(text, "test/cat/pipe.png: is a pipe"));
  CHECK_FALSE(contains(text, ".hidden"));

  const Prepared rest = prepare(dir.path(), {.skip_bad = true});
  CHECK(rest.bad.size() == 9);
  CHECK(rest.set.train_count == 8);  // one lost, one more by the link inside
  for (size_t i = 0; i < rest.set.sources.size(); ++i)
    for (size_t k = 0; k < clean.set.sources.size(); ++k)
      if (rest.set.sources[i] == clean.set.sources[k]) {
        CHECK(rest.set.ids[i] == clean.set.ids[k]);
        CHECK(std::equal(rest.set.image(static_cast<int64_t>(i)),
                         rest.set.image(static_cast<int64_t>(i)) + rest.set.image_bytes(),
                         clean.set.image(static_cast<int64_t>(k))));
      }
}

TEST_CASE("prepare: a long list of bad files is cut and counted") {
  TempDir dir;
  make_tree(dir.path(), 1, 1);
  for (int i = 0; i < 25; ++i) put_file(dir / fmt::format("train/cat/bad{}.png", i), "GIF89a");
  const std::string text = refusal(dir);
  CHECK(contains(text, "25 bad files"));
  CHECK(contains(text, "... and 5 more"));
}

TEST_CASE("prepare: images of several sizes are counted and refused, also with skip_bad") {
  TempDir dir;
  make_tree(dir.path(), 3, 1);
  put_file(dir / "test/dog/big.png", png_bytes(9, 6, 5));
  for (const bool skip : {false, true}) {
    const std::string text = error_text([&] { prepare(dir.path(), {.skip_bad = skip}); });
    CHECK(contains(text, "1 of 9 images are not 6 x 8"));
    CHECK(contains(text, "test/dog/big.png: 6 x 9"));
    CHECK(contains(text, "--resize"));
  }
}

TEST_CASE("prepare: missing test folder, unknown test class, empty class are refused") {
  TempDir dir;
  make_tree(dir.path(), 1, 0);
  CHECK(contains(refusal(dir), "--test-fraction"));
  put_file(dir / "test/bird/1.png", png_bytes(8, 6, 1));
  CHECK(contains(refusal(dir), "test/bird"));
  std::filesystem::remove_all(dir / "test");
  put_file(dir / "test/cat/1.png", png_bytes(8, 6, 1));
  CHECK(refusal(dir) == "no error");
  std::filesystem::create_directory(dir / "train/empty");
  CHECK(contains(refusal(dir), "empty"));
}

TEST_CASE("prepare: with resize all images have one size; ids stay those of the files") {
  TempDir dir;
  make_tree(dir.path(), 3, 1);
  const Dataset plain = prepare(dir.path(), {}).set;
  put_file(dir / "test/dog/big.png", png_bytes(19, 40, 5));
  const Dataset set = prepare(dir.path(), {.resize = 7}).set;
  CHECK(set.height == 7);
  CHECK(set.width == 7);
  CHECK(set.test_count == 3);
  CHECK(std::equal(plain.ids.begin(), plain.ids.begin() + 6, set.ids.begin()));
  const Image big = resized(read_image(dir / "test/dog/big.png"), {7, 7});
  CHECK(std::equal(big.pixels.begin(), big.pixels.end(), set.image(8)));
}

TEST_CASE("prepare: a source without a test part gets one of the smallest ids of each class") {
  TempDir dir, tree;
  make_tree(dir.path(), 10, 0);
  std::filesystem::remove_all(dir / "test");
  for (const char* name : {"cat", "dog"}) std::filesystem::copy(dir / "train" / name, tree / name);
  put_file(tree / "cat/copy.png", get_file(tree / "cat/0.png"));
  for (const TempDir* source : {&dir, &tree}) {
    const Dataset set = prepare(source->path(), {.test_fraction = 0.3}).set;
    CHECK(set.class_counts(set.train_count, set.count())[1] == 3);
    SampleId largest_test{};
    for (int64_t i = set.train_count; i < set.count(); ++i)
      if (set.labels[static_cast<size_t>(i)] == 1)
        largest_test = std::max(largest_test, set.ids[static_cast<size_t>(i)]);
    for (int64_t i = 0; i < set.train_count; ++i) {
      if (set.labels[static_cast<size_t>(i)] == 1)
        CHECK(set.ids[static_cast<size_t>(i)] > largest_test);
      for (int64_t k = set.train_count; k < set.count(); ++k)  // copies are on one side
        CHECK(set.ids[static_cast<size_t>(i)] != set.ids[static_cast<size_t>(k)]);
    }
    const Image image =
        read_image(source->path() / set.sources[static_cast<size_t>(set.train_count)]);
    CHECK(std::equal(image.pixels.begin(), image.pixels.end(), set.image(set.train_count)));
  }
  CHECK(error_code([&] { prepare(dir.path(), {.test_fraction = 0.001}); }) == ExitCode::input);
  make_tree(dir.path(), 10, 1);
  CHECK(error_code([&] { prepare(dir.path(), {.test_fraction = 0.3}); }) == ExitCode::usage);
}

TEST_CASE("prepare: what is no data set is named") {
  TempDir dir;
  CHECK(contains(refusal(dir), "holds no known data set"));
  put_file(dir / "x.tar.gz", "\x1F\x8B\x08");
  CHECK(contains(error_text([&] { prepare(dir / "x.tar.gz", {}); }), "a gzip archive"));
  CHECK(contains(error_text([&] { prepare(dir / "missing", {}); }), "no such file"));
  put_file(dir / "data_batch_1", "pickle");
  CHECK(contains(refusal(dir), "binary version"));
}
