#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace expunge::data {

// The JSON header of a packed file: everything about a set but its arrays (docs/packed-format.md).
struct PackedHeader {
  Dataset set;                // arrays are empty
  uint64_t source_bytes = 0;  // size of the table of sources
};

inline constexpr uint64_t kMaxPackedHeader = uint64_t{64} << 20;

// Fails with ExitCode::input where a class name is not UTF-8.
std::string format_packed_header(const PackedHeader& header);

// Fails with ExitCode::input: a sentence that begins with `path` and names the field.
PackedHeader parse_packed_header(std::string_view json, const std::string& path);

}  // namespace expunge::data
