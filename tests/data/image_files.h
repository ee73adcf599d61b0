#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

// Image files for the tests.
namespace expunge::test {

// A noisy picture that differs with `seed`: (height, width, 3).
std::vector<uint8_t> picture(int height, int width, int seed);
std::string png_bytes(int height, int width, int seed);
std::string jpeg_bytes(int height, int width, int seed);

// A valid signature and header of a PNG that claims this size; no pixels.
std::string png_header(uint32_t height, uint32_t width);

// train/{cat,dog} with `train` images each, test/{cat,dog} with `test`, all 8 x 6.
void make_tree(const std::filesystem::path& root, int train, int test);

}  // namespace expunge::test
