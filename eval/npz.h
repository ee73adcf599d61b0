#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/check.h"
#include "eval/outputs.h"

// numpy's archives: a zip file of .npy files (version 1.0), stored, not compressed.
// numpy.load(path)["name"] reads an array.
namespace expunge::eval {

template <class T>
inline constexpr const char* kNpyType = nullptr;
template <>
inline constexpr const char* kNpyType<float> = "<f4";
template <>
inline constexpr const char* kNpyType<double> = "<f8";
template <>
inline constexpr const char* kNpyType<int32_t> = "<i4";
template <>
inline constexpr const char* kNpyType<int64_t> = "<i8";
template <>
inline constexpr const char* kNpyType<uint8_t> = "|u1";

// Row-major values that stay where they are until they are written.
struct NpyArray {
  std::string name;
  std::string type;  // as numpy spells it
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

template <class T>
NpyArray npy_array(std::string name, std::vector<int64_t> shape, const std::vector<T>& values) {
  static_assert(kNpyType<T> != nullptr, "float, double, int32, int64 or uint8");
  int64_t size = 1;
  for (const int64_t extent : shape) size *= extent;
  EXPUNGE_CHECK(size == std::ssize(values), "npy {}: {} values for a shape of {}", name,
                values.size(), size);
  return {std::move(name), kNpyType<T>, std::move(shape), std::as_bytes(std::span(values))};
}

// Equal arguments give equal bytes; written atomically. Names differ and are not empty; an archive
// of 4 GiB or more is ExitCode::input.
void write_npz(const std::filesystem::path& path, const std::vector<NpyArray>& arrays);

// <part>_labels, _positions, _logits, _probabilities, _losses and _margins of outputs that outlive
// the arrays.
std::vector<NpyArray> npy_arrays(const std::string& part, const Outputs& outputs);

}  // namespace expunge::eval
