#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace expunge::data {

// Whether this build has matio, which reads MATLAB files.
bool mat_supported();

// The arrays of an SVHN file (format 2, "cropped digits"; Netzer et al. 2011).
struct MatDigits {
  int64_t count = 0;
  std::vector<uint8_t> pixels;  // (count, 32, 32, 3)
  std::vector<uint8_t> labels;  // (count), as stored: 1 to 10
};

// X (32, 32, 3, count) uint8 and y (count, 1) of a MATLAB 5 file. Anything else: ExitCode::input
// with the path and what was expected. A build without matio: ExitCode::device.
MatDigits read_mat_digits(const std::filesystem::path& path);

}  // namespace expunge::data
