#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>

#include "data/mat_file.h"
#include "data/prepare.h"
#include "support/error.h"
#include "support/temp_dir.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

enum : uint32_t {
  kInt8 = 1,
  kUint8 = 2,
  kInt32 = 5,
  kUint32 = 6,
  kDouble = 9,
  kMatrix = 14,
  kCompressed = 15
};

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// A tag and its data, padded to 8 bytes.
std::string element(uint32_t type, const std::string& data) {
  std::string text = raw<uint32_t>({type, static_cast<uint32_t>(data.size())}) + data;
  return text.append((8 - text.size() % 8) % 8, '\0');
}

// A numeric array; `mat_class` 9 is uint8, 6 double.
std::string array(const char* name, uint32_t mat_class, const std::vector<int32_t>& dims,
                  uint32_t type, const std::string& data) {
  return element(kMatrix, element(kUint32, raw<uint32_t>({mat_class, 0})) +
                              element(kInt32, raw(dims)) + element(kInt8, name) +
                              element(type, data));
}

std::string compressed(const std::string& matrix) {
  uLongf size = compressBound(matrix.size());
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size,
           reinterpret_cast<const Bytef*>(matrix.data()), matrix.size());
  out.resize(size);
  return raw<uint32_t>({kCompressed, static_cast<uint32_t>(out.size())}) + out;
}

std::string mat_file(const std::string& elements) {
  std::string header = "MATLAB 5.0 MAT-file";
  header.resize(124, ' ');
  return header + std::string("\0\1IM", 4) + elements;
}

// Value of pixel (h, w, c) of image n.
uint8_t pixel(int h, int w, int c, int n) {
  return static_cast<uint8_t>(h * 7 + w * 3 + c * 50 + n * 11);
}

std::string images(int count) {
  std::string x;
  for (int n = 0; n < count; ++n)
    for (int c = 0; c < 3; ++c)
      for (int w = 0; w < 32; ++w)
        for (int h = 0; h < 32; ++h) x.push_back(static_cast<char>(pixel(h, w, c, n)));
  return x;
}

std::string x_array(int count) {
  return array("X", 9, {32, 32, 3, count}, kUint8, images(count));
}
std::string y_array(const std::vector<uint8_t>& labels) {
  return array("y", 9, {static_cast<int32_t>(labels.size()), 1}, kUint8, raw(labels));
}

std::string refusal(const TempDir& dir, const std::string& bytes) {
  put_file(dir / "t.mat", bytes);
  const auto read = [&] { read_mat_digits(dir / "t.mat"); };
  CHECK(error_code(read) == ExitCode::input);
  return error_text(read);
}

}  // namespace

TEST_CASE("SVHN: pixels, labels and parts of plain and compressed files; label 10 is the digit 0") {
  if (!mat_supported()) return;
  TempDir dir;
  put_file(dir / "train_32x32.mat",
           mat_file(compressed(x_array(3)) + compressed(y_array({1, 10, 9}))));
  put_file(dir / "test_32x32.mat",
           mat_file(x_array(2) + array("y", 6, {2, 1}, kDouble, raw<double>({10, 3}))));
  const Dataset set = prepare(dir.path(), {.name = "svhn"}).set;
  CHECK(set.train_count == 3);
  CHECK(set.test_count == 2);
  CHECK(set.labels == std::vector<uint16_t>{1, 0, 9, 0, 3});
  CHECK(set.classes[0] == "0");
  CHECK(set.sources[1] == "train_32x32.mat:1");
  for (int n = 0; n < 3; ++n)
    for (int h = 0; h < 32; h += 5)
      for (int w = 0; w < 32; w += 3)
        for (int c = 0; c < 3; ++c) CHECK(set.image(n)[(h * 32 + w) * 3 + c] == pixel(h, w, c, n));
  CHECK(set.ids[0] == set.ids[3]);  // the same pixels in both parts
}

TEST_CASE("SVHN: R12: damaged and other MATLAB files are refused and the fault is named") {
  if (!mat_supported()) return;
  const TempDir dir;
  const std::string y = y_array({1, 2});
  CHECK(contains(refusal(dir, ""), "expected a MATLAB 5 file"));
  CHECK(contains(refusal(dir, "<!DOCTYPE html><html>"), "an HTML page"));
  CHECK(contains(refusal(dir, "\x89HDF\r\n\x1a\n and so on"), "an HDF5 file"));
  CHECK(contains(refusal(dir, mat_file("")), "no array 'X'"));
  CHECK(contains(refusal(dir, mat_file(x_array(2))), "no array 'y'"));
  CHECK(contains(refusal(dir, mat_file(x_array(2) + y_array({1, 2, 3}))), "expected 2 labels"));
  CHECK(contains(refusal(dir, mat_file(x_array(2) + y_array({1, 11}))), "label 11 of sample 1"));
  CHECK(contains(refusal(dir, mat_file(x_array(2) + y_array({0, 1}))), "label 0 of sample 0"));
  CHECK(contains(
      refusal(dir, mat_file(x_array(1) + array("y", 6, {1, 1}, kDouble, raw<double>({1.5})))),
      "label 1.5"));
  CHECK(contains(refusal(dir, mat_file(array("X", 9, {32, 31, 3, 2}, kUint8, images(2)) + y)),
                 "32 x 31 x 3 x 2"));
  CHECK(contains(refusal(dir, mat_file(array("X", 9, {32, 32, 6}, kUint8, images(2)) + y)),
                 "rank 4"));
  CHECK(contains(refusal(dir, mat_file(array("X", 9, {32, 32, 3, 1 << 30}, kUint8, images(2)) + y)),
                 "fits the file"));
  CHECK(contains(refusal(dir, mat_file(array("X", 9, {32, 32, 3, 0}, kUint8, "") + y)), "'X'"));
  CHECK(contains(refusal(dir, mat_file(array("X", 9, {-1, 32, 3, 2}, kUint8, images(2)) + y)),
                 "'X'"));
}

TEST_CASE("SVHN: R12: a file cut short anywhere is refused") {
  if (!mat_supported()) return;
  const TempDir dir;
  const std::string good = mat_file(compressed(x_array(1)) + compressed(y_array({4})));
  for (size_t n = 0; n < good.size(); n += 1 + n / 50) refusal(dir, good.substr(0, n));
}
