#pragma once

#include <cudnn_backend.h>

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "cuda_on_cpu/report.h"

// What stands behind a descriptor of cuDNN: its attributes as they were set.
namespace cuda_on_cpu {

struct Node;
using Ref = std::shared_ptr<Node>;  // a cudnnBackendDescriptor_t points to one
inline Ref& of(cudnnBackendDescriptor_t descriptor) {
  return *static_cast<Ref*>(descriptor);
}

struct Node {
  using Name = cudnnBackendAttributeName_t;
  struct Values {
    cudnnBackendAttributeType_t type{};
    std::vector<std::byte> bytes{};
  };
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<Name, Values> values{};
  std::map<Name, std::vector<Ref>> nodes{};

  bool has(Name name) const { return values.contains(name) || nodes.contains(name); }
  template <class T>
  std::vector<T> all(Name name) const {
    const auto at = values.find(name);
    if (at == values.end()) die("cuDNN: attribute %d was not set", name);
    std::vector<T> read(at->second.bytes.size() / sizeof(T));
    std::memcpy(read.data(), at->second.bytes.data(), at->second.bytes.size());
    return read;
  }
  template <class T>
  T one(Name name) const {
    return all<T>(name).at(0);
  }
  const Node& node(Name name) const {
    const auto at = nodes.find(name);
    if (at == nodes.end()) die("cuDNN: attribute %d was not set", name);
    return *at->second.at(0);
  }
  template <class T>
  void set(Name name, cudnnBackendAttributeType_t of_type, const std::vector<T>& all_of_it) {
    const auto* bytes = reinterpret_cast<const std::byte*>(all_of_it.data());
    values[name] = {of_type, {bytes, bytes + all_of_it.size() * sizeof(T)}};
  }
};

}  // namespace cuda_on_cpu
