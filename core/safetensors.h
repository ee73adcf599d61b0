#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

// The safetensors file format: 8 bytes header length, a JSON header, then the tensors' bytes. Ours
// reads untrusted files: header of at most 16 MiB, no duplicate names, checked products, tensors
// contiguous and covering the file exactly, nothing allocated on a claim that the file's size does
// not back.
namespace expunge {

// Name, shape (any rank up to 8) and f32 values. Shapes here are the file's, so they may be longer
// than a Shape.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  Tensor values;  // flat, (product of shape)
};

using Metadata = std::map<std::string, std::string>;

// Equal arguments give equal bytes; written atomically.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const Metadata& metadata);

// A tensor of another type than F32: what it is, without its values.
struct OtherTensor {
  std::string name, dtype;
  std::vector<int64_t> shape;
};

struct SafeTensors {
  std::vector<NamedTensor> tensors;  // F32, in the order of the file
  std::vector<OtherTensor> others;
  Metadata metadata;
  const NamedTensor* find(std::string_view name) const;
};
SafeTensors read_safetensors(
    const std::filesystem::path& path);  // ExitCode::input names file and fault

}  // namespace expunge
