#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "core/sha256.h"
#include "data/builtin.h"
#include "data/dataset.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/data/tiny_set.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

namespace {

// Writes the bytes as a packed file and reads them back; done where they are accepted.
struct Probe {
  TempDir dir;
  std::string text;
  ExitCode read(const std::string& bytes) {
    put_file(dir / "p", bytes);
    text = error_text([&] { read_packed(dir / "p"); });
    return error_code([&] { read_packed(dir / "p"); });
  }
  ExitCode verify(const std::string& bytes) {
    put_file(dir / "p", bytes);
    text = error_text([&] { verify_packed(dir / "p"); });
    return error_code([&] { verify_packed(dir / "p"); });
  }
};

std::string packed_bytes(const Dataset& set) {
  TempDir dir;
  write_packed(dir / "p", set);
  return get_file(dir / "p");
}

constexpr size_t kPrefix = 64;

uint64_t header_bytes(const std::string& file) {
  uint64_t n = 0;
  std::memcpy(&n, file.data() + 16, sizeof n);
  return n;
}

// The same file with another header, its hash set right: what only the checks of fields catch.
std::string with_header(const std::string& file, std::string json) {
  json.resize((json.size() + 63) / 64 * 64, ' ');
  std::string out = file.substr(0, kPrefix);
  const uint64_t n = json.size();
  const Sha256Digest hash = sha256(json.data(), json.size());
  std::memcpy(out.data() + 16, &n, sizeof n);
  std::memcpy(out.data() + 24, hash.data(), hash.size());
  return out + json + file.substr(kPrefix + header_bytes(file));
}

std::string replaced(const std::string& file, const std::string& from, const std::string& to) {
  std::string json = file.substr(kPrefix, header_bytes(file));
  const size_t at = json.find(from);
  REQUIRE(at != json.npos);
  return with_header(file, json.replace(at, from.size(), to));
}

}  // namespace

TEST_CASE("packed: what is written is read back") {
  TempDir dir;
  const Dataset set = tiny_set(7, 3, 3);
  write_packed(dir / "p", set);
  for (const Dataset& again : {read_packed(dir / "p"), verify_packed(dir / "p")}) {
    CHECK(again.name == set.name);
    CHECK(again.height == 4);
    CHECK(again.channels == 3);
    CHECK(again.train_count == 7);
    CHECK(again.test_count == 3);
    CHECK(again.classes == set.classes);
    CHECK(again.pixels == set.pixels);
    CHECK(again.labels == set.labels);
    CHECK(again.ids == set.ids);
    CHECK(again.id_source == set.id_source);
    CHECK(again.sources == set.sources);
    CHECK(again.mean == set.mean);
    CHECK(again.std == set.std);
    CHECK(again.digest == set.digest);
  }
  CHECK(dir.names().size() == 1);
}

TEST_CASE("packed: the digest is of the content, not of the name") {
  Dataset set = tiny_set(7, 3, 3);
  const std::string digest = set.digest;
  set.name = "other";
  summarize(set);
  CHECK(set.digest == digest);
  set.labels[0] = 2;
  summarize(set);
  CHECK(set.digest != digest);
}

TEST_CASE("packed: every prefix of a file is refused, and so is a longer one") {
  const std::string file = packed_bytes(tiny_set(3, 1, 2, 2));
  Probe probe;
  CHECK(probe.verify(file) == ExitCode::done);
  for (size_t n = 0; n < file.size(); ++n)
    REQUIRE(probe.read(file.substr(0, n)) == ExitCode::input);
  CHECK(probe.read(file + '\0') == ExitCode::input);
  CHECK(contains(probe.text, "too long"));
}

TEST_CASE("packed: every flipped bit is refused by verify, and by read where it matters") {
  const std::string file = packed_bytes(tiny_set(3, 1, 2, 2));
  const size_t payload = kPrefix + header_bytes(file);
  Probe probe;
  for (size_t i = 0; i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
    const ExitCode code = probe.verify(damaged);
    REQUIRE((code == ExitCode::input || code == ExitCode::verification));
    if (i < payload) REQUIRE(probe.read(damaged) == ExitCode::input);
  }
}

TEST_CASE("packed: a header that lies is refused by its field") {
  const std::string file = packed_bytes(tiny_set(3, 1, 2, 2));
  Probe probe;
  const auto refused = [&](const char* from, const char* to, const char* why) {
    CHECK(probe.read(replaced(file, from, to)) == ExitCode::input);
    CHECK_MESSAGE(contains(probe.text, why), probe.text);
  };
  CHECK(probe.read(replaced(file, "\"tiny\"", "\"tinier\"")) == ExitCode::done);
  refused("\"height\": 2", "\"height\": 3", "cut short");
  refused("\"height\": 2", "\"height\": 0", "\"height\"");
  refused("\"height\": 2", "\"height\": -2", "\"height\"");
  refused("\"height\": 2", "\"height\": 2.0", "\"height\"");
  refused("\"height\": 2", "\"heigth\": 2", "it is missing");
  refused("\"train\": 3", "\"train\": 18446744073709551615", "\"train\"");
  refused("\"train\": 3", "\"train\": 2147483647", "\"test\"");
  refused("\"source_bytes\": 28", "\"source_bytes\": 18446744073709551615", "\"source_bytes\"");
  refused("\"class1\"", "\"class0\"", "occurs twice");
  refused("\"class1\"", "\"\"", "\"classes\"");
  refused("\"class1\"", "7", "\"classes\"");
  refused("\"class1\"", "[[[[]]]]", "nested too deeply");
  refused("\"pixels\"", "\"paper\"", "\"id_source\"");
  refused("\"channels\": 3", "\"channels\": 1", "\"mean\"");
  refused("{", "", "not valid JSON");
  CHECK(probe.read(with_header(file, "[]")) == ExitCode::input);
  CHECK(probe.read(with_header(file, std::string(100000, '['))) == ExitCode::input);
}

TEST_CASE("packed: labels out of range and a wrong table of sources are refused by read") {
  Dataset set = tiny_set(3, 1, 2, 2);
  set.labels[1] = 2;
  summarize(set);
  Probe probe;
  CHECK(probe.read(packed_bytes(set)) == ExitCode::input);
  CHECK(contains(probe.text, "sample 1 has label 2, there are 2 classes"));
  std::string file = packed_bytes(tiny_set(3, 1, 2, 2));
  file[file.size() - 3] = '\0';
  CHECK(probe.read(file) == ExitCode::input);
  CHECK(contains(probe.text, "table of sources"));
}

TEST_CASE("packed: verify recomputes ids of records; those of image files it takes as they are") {
  Dataset set = tiny_set(3, 1, 2, 2);
  set.ids[2].bytes[0] ^= 1;
  summarize(set);
  Probe probe;
  CHECK(probe.read(packed_bytes(set)) == ExitCode::done);
  CHECK(probe.verify(packed_bytes(set)) == ExitCode::verification);
  CHECK(contains(probe.text, "sample 2 has id"));
  set.id_source = IdSource::file;
  summarize(set);
  CHECK(probe.verify(packed_bytes(set)) == ExitCode::done);
}

TEST_CASE("packed: newer versions and other files are refused with what they are") {
  Probe probe;
  std::string file = packed_bytes(tiny_set(3, 1, 2, 2));
  file[8] = 2;
  CHECK(probe.read(file) == ExitCode::input);
  CHECK(contains(probe.text, "version 2, this program reads version 1 (update it)"));
  CHECK(probe.read("") == ExitCode::input);
  CHECK(contains(probe.text, "is empty"));
  CHECK(probe.read("<html>" + std::string(1000, ' ')) == ExitCode::input);
  CHECK(contains(probe.text, "an HTML page"));
  CHECK(probe.read("PK\3\4") == ExitCode::input);
  CHECK(contains(probe.text, "a zip archive"));
  CHECK(error_code([&] { read_packed(probe.dir.path()); }) == ExitCode::input);
  CHECK(error_code([] { open_dataset("no/such/file"); }) == ExitCode::input);
}

TEST_CASE("packed: what could not be read again is not written") {
  TempDir dir;
  for (const std::string& name : {std::string(), std::string(600, 'x'), std::string("\xFF")}) {
    Dataset set = tiny_set(3, 1, 2, 2);
    set.name = name;
    CHECK(error_code([&] { write_packed(dir / "p", set); }) == ExitCode::input);
  }
  CHECK(dir.names().empty());
}

TEST_CASE("data set: mean and std are those of the training pixels; a constant channel has std 1") {
  Dataset set = tiny_set(5, 5, 2);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < 5 * 16; ++i) {
    const double x = set.pixels[static_cast<size_t>(3 * i + 1)] / 255.0;
    sum += x, squares += x * x;
  }
  CHECK(set.mean[1] == doctest::Approx(sum / 80).epsilon(1e-6));
  CHECK(set.std[1] == doctest::Approx(std::sqrt(squares / 80 - sum / 80 * sum / 80)).epsilon(1e-5));
  for (size_t i = 0; i < set.pixels.size(); i += 3) set.pixels[i] = 77;
  summarize(set);
  CHECK(set.mean[0] == 77 / 255.0f);
  CHECK(set.std[0] == 1);
}

TEST_CASE("sample id: 32 hexadecimal digits, and nothing else") {
  SampleId id;
  CHECK(SampleId::parse("000102030405060708090a0b0c0d0eFF", id));
  CHECK(id.bytes[10] == 10);
  CHECK(id.hex() == "000102030405060708090a0b0c0d0eff");
  for (const char* bad : {"", "00", "000102030405060708090a0b0c0d0e0g",
                          "000102030405060708090a0b0c0d0e0f00", " 00102030405060708090a0b0c0d0e0f"})
    CHECK_FALSE(SampleId::parse(bad, id));
}
