#include "core/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "support/error.h"
#include "support/temp_dir.h"

namespace expunge {
namespace {

using test::contains;
using test::TempDir;

NamedTensor named(const std::string& name, std::vector<int64_t> shape,
                  std::initializer_list<float> values) {
  return {name, std::move(shape), Tensor::of(values)};
}

std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

// One tensor of two floats, which is a valid file.
constexpr const char* kGood = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

std::string refusal(const TempDir& dir, const std::string& bytes) {
  test::put_file(dir / "t.safetensors", bytes);
  const auto read = [&] { read_safetensors(dir / "t.safetensors"); };
  CHECK(test::error_code(read) == ExitCode::input);
  const std::string text = test::error_text(read);
  CHECK(contains(text, "t.safetensors"));
  return text;
}

TEST_CASE("safetensors: what is written is read, bit for bit") {
  const TempDir dir;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<NamedTensor> tensors = {
      named("b", {2, 1, 1, 1, 2, 1}, {1.0f, -0.0f, 1e-45f, 3.4e38f}),
      named("a", {1}, {nan}),
      {"empty", {0, 7}, Tensor({0})},
      named("scalar", {}, {2.5f})};
  const Metadata metadata = {{"model", "small \"cnn\" ü"}, {"classes", "10"}};
  write_safetensors(dir / "x", tensors, metadata);
  const SafeTensors file = read_safetensors(dir / "x");
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == tensors.size());
  for (const NamedTensor& t : tensors) {
    const NamedTensor* found = file.find(t.name);
    REQUIRE(found != nullptr);
    CHECK(found->shape == t.shape);
    REQUIRE(found->values.size() == t.values.size());
    CHECK(std::memcmp(found->values.bytes(), t.values.bytes(),
                      static_cast<size_t>(t.values.size()) * 4) == 0);
  }
  CHECK(file.find("c") == nullptr);
  write_safetensors(dir / "y", tensors, metadata);
  CHECK(test::get_file(dir / "x") == test::get_file(dir / "y"));
}

TEST_CASE("safetensors: a file of another program, without digest, other types skipped") {
  const TempDir dir;
  test::put_file(dir / "x", file_of(R"({"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]},)"
                                    R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )",
                                    16));
  const SafeTensors file = read_safetensors(dir / "x");
  REQUIRE(file.others.size() == 1);
  CHECK(file.others[0].name == "n");
  CHECK(file.others[0].dtype == "I64");
  CHECK(file.others[0].shape.empty());
  CHECK(file.tensors.size() == 1);
  CHECK(file.metadata.empty());
}

TEST_CASE("safetensors: R9: hostile headers are refused and the fault is named") {
  const auto tensor = [](const std::string& fields) { return "{\"w\":{" + fields + "}}"; };
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"", "not JSON"},
      {"[]", "list"},
      {"{", "not JSON"},
      {"{} x", "not JSON"},
      {"{\"\xff\":{}}", "not JSON"},
      {R"({"w":7})", "number"},
      {R"({"w":null})", "null"},
      {R"({"w":{"a":{"b":{}}}})", "nested"},
      {R"({"__metadata__":{"k":{"a":1}}})", "nested"},
      {R"({"__metadata__":{"k":1}})", "number"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", "twice"},
      {tensor(R"("dtype":"F32","shape":[2])"), "data_offsets"},
      {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "data_offsets"},
      {tensor(R"("shape":[2],"data_offsets":[0,8])"), "dtype ''"},
      {tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), "F31"},
      {tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "negative"},
      {tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "fraction"},
      {tensor(R"("dtype":"F32","shape":[true],"data_offsets":[0,8])"), "truth"},
      {tensor(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), "text"},
      {tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "list"},
      {tensor(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])"), "twice"},
      {tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"), "number"},
      {tensor(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])"), "larger"},
      {tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"), "larger"},
      {tensor(R"("dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0])"), "larger"},
      {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])"), "ends"},
      {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "hole"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "hole"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"), "offsets"},
      {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "follow"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "overlap"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "twice"},
      {"{\"" + std::string(513, 'n') + "\":{}}", "512"},
      {std::string(1 << 20, '['), "list"},
  };
  const TempDir dir;
  for (const auto& [header, words] : rows) {
    const std::string begin = header.substr(0, 100), text = refusal(dir, file_of(header, 8));
    CAPTURE(begin);
    CAPTURE(text);
    CHECK(contains(text, words));
  }
}

TEST_CASE("safetensors: R9: a header that claims more than there is") {
  const TempDir dir;
  for (uint64_t claim : {uint64_t{57}, uint64_t{1} << 24, uint64_t{1} << 40, ~uint64_t{0}}) {
    std::string bytes = file_of(kGood, 0);
    std::memcpy(bytes.data(), &claim, 8);
    CHECK(contains(refusal(dir, bytes), "header"));
  }
  CHECK(contains(refusal(dir, ""), "is empty"));
  CHECK(contains(refusal(dir, "1234567"), "a text file"));
  CHECK(contains(refusal(dir, "\xFF\xFF\xFF"), "3 bytes are too few"));
  CHECK(contains(refusal(dir, "PK\x03\x04 and so on, a .pth file"), "zip"));
  CHECK(contains(refusal(dir, "<!DOCTYPE html><html>"), "HTML"));
}

TEST_CASE("safetensors: R8: any prefix and any flipped bit of a file is refused") {
  const TempDir dir;
  write_safetensors(dir / "x", std::vector{named("w", {3}, {1, 2, 3}), named("v", {1}, {4})},
                    {{"step", "7"}});
  const std::string good = test::get_file(dir / "x");
  for (size_t n = 0; n < good.size(); ++n) refusal(dir, good.substr(0, n));
  refusal(dir, good + '\0');
  int accepted = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    test::put_file(dir / "y", bytes);
    const ExitCode code = test::error_code([&] { read_safetensors(dir / "y"); });
    accepted += code == ExitCode::done;
    CHECK((code == ExitCode::done || code == ExitCode::input));
  }
  // Bits that make "sha256" another key leave a file without a digest, as other programs write it;
  // and white space behind the header has no meaning.
  CHECK(accepted <= 6 * 8 + 2 * 8);
}

}  // namespace
}  // namespace expunge
