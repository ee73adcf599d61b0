#include "eval/npz.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>
#include <map>

#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/eval/random_outputs.h"

using namespace expunge;
using namespace expunge::eval;
using namespace expunge::test;

namespace {

template <class T>
T at(const std::string& bytes, size_t offset) {
  T value;
  REQUIRE(offset + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// Name -> contents of a zip file of stored entries, read from its end as unzip does.
std::map<std::string, std::string> unzipped(const std::string& bytes) {
  const size_t end = bytes.size() - 22;
  REQUIRE(bytes.substr(end, 4) == "PK\5\6");
  CHECK(at<uint16_t>(bytes, end + 8) == at<uint16_t>(bytes, end + 10));
  CHECK(at<uint32_t>(bytes, end + 16) + at<uint32_t>(bytes, end + 12) == end);
  std::map<std::string, std::string> files;
  size_t p = at<uint32_t>(bytes, end + 16);
  for (int i = 0; i < at<uint16_t>(bytes, end + 10); ++i) {
    REQUIRE(bytes.substr(p, 4) == "PK\1\2");
    CHECK(at<uint16_t>(bytes, p + 10) == 0);  // stored
    const uint32_t crc = at<uint32_t>(bytes, p + 16), size = at<uint32_t>(bytes, p + 24);
    const size_t length = at<uint16_t>(bytes, p + 28), local = at<uint32_t>(bytes, p + 42);
    const std::string name = bytes.substr(p + 46, length);
    REQUIRE(bytes.substr(local, 4) == "PK\3\4");
    CHECK(bytes.substr(local + 4, 26) == bytes.substr(p + 6, 26));  // both headers say the same
    CHECK(bytes.substr(local + 30, length) == name);
    files[name] = bytes.substr(local + 30 + length, size);
    CHECK(at<uint32_t>(bytes, p + 20) == size);
    CHECK(crc32(0, reinterpret_cast<const Bytef*>(files[name].data()), size) == crc);
    p += 46 + length;
  }
  CHECK(p == end);
  return files;
}

struct Npy {
  std::string header, values;
};
Npy parsed(const std::string& file) {
  REQUIRE(file.substr(0, 8) == std::string("\x93NUMPY\1\0", 8));
  const size_t length = at<uint16_t>(file, 8);
  CHECK((10 + length) % 64 == 0);
  CHECK(file[10 + length - 1] == '\n');
  std::string header = file.substr(10, length - 1);
  return {header.substr(0, header.find_last_not_of(' ') + 1), file.substr(10 + length)};
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("npz: every array comes back with its type, shape and values") {
  const TempDir dir;
  const std::vector<float> f{1.5f, -2, 3, 4, 5, 6};
  const std::vector<double> d{0.1};
  const std::vector<int32_t> i{-1, 2};
  const std::vector<int64_t> l{1ll << 40};
  const std::vector<uint8_t> u{}, s{7};
  write_npz(dir / "a.npz",
            {npy_array("f", {2, 3}, f), npy_array("d", {1}, d), npy_array("i", {2}, i),
             npy_array("l", {1, 1}, l), npy_array("u", {0, 4}, u), npy_array("s", {}, s)});
  auto files = unzipped(get_file(dir / "a.npz"));
  CHECK(files.size() == 6);
  const auto header = [](const char* type, const char* shape) {
    return std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': " + shape +
           ", }";
  };
  CHECK(parsed(files["f.npy"]).header == header("<f4", "(2, 3)"));
  CHECK(parsed(files["f.npy"]).values == bytes_of(f));
  CHECK(parsed(files["d.npy"]).header == header("<f8", "(1,)"));
  CHECK(parsed(files["d.npy"]).values == bytes_of(d));
  CHECK(parsed(files["i.npy"]).header == header("<i4", "(2,)"));
  CHECK(parsed(files["i.npy"]).values == bytes_of(i));
  CHECK(parsed(files["l.npy"]).header == header("<i8", "(1, 1)"));
  CHECK(parsed(files["l.npy"]).values == bytes_of(l));
  CHECK(parsed(files["u.npy"]).header == header("|u1", "(0, 4)"));
  CHECK(parsed(files["u.npy"]).values.empty());
  CHECK(parsed(files["s.npy"]).header == header("|u1", "()"));
  CHECK(parsed(files["s.npy"]).values == bytes_of(s));
}

TEST_CASE("npz: outputs go out by part and kind; a second file has the same bytes") {
  const TempDir dir;
  const Outputs out = random_outputs(5, 3, 1, 1);
  write_npz(dir / "a.npz", npy_arrays("forget", out));
  write_npz(dir / "b.npz", npy_arrays("forget", out));
  CHECK(get_file(dir / "a.npz") == get_file(dir / "b.npz"));
  auto files = unzipped(get_file(dir / "a.npz"));
  CHECK(files.size() == 6);
  CHECK(parsed(files["forget_logits.npy"]).values == bytes_of(out.logits));
  CHECK(parsed(files["forget_probabilities.npy"]).values == bytes_of(out.p));
  CHECK(parsed(files["forget_margins.npy"]).values == bytes_of(out.margins));
}

TEST_CASE("npz: a wrong shape, a name twice and an archive of 4 GiB are refused") {
  const TempDir dir;
  const std::vector<float> f{1, 2};
  CHECK(error_code([&] { npy_array("f", {3}, f); }) == ExitCode::internal);
  const NpyArray a = npy_array("f", {2}, f);
  CHECK(error_code([&] { write_npz(dir / "a.npz", {a, a}); }) == ExitCode::internal);
  // The size is refused before a byte is touched.
  const NpyArray huge{"huge", "<f4", {1ll << 30}, {a.bytes.data(), size_t{1} << 32}};
  CHECK(error_code([&] { write_npz(dir / "a.npz", {huge}); }) == ExitCode::input);
  CHECK(dir.names().empty());
}
