#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace expunge {

using Sha256Digest = std::array<uint8_t, 32>;

// SHA-256 (FIPS 180-4) of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256& update(const void* bytes, size_t size);
  Sha256Digest digest();  // of everything so far; the object is used up

 private:
  void blocks(const uint8_t* bytes, size_t count);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> tail_{};
  uint64_t size_ = 0;  // bytes so far
};

Sha256Digest sha256(const void* bytes, size_t size);

std::string to_hex(std::span<const uint8_t> bytes);  // lower case

}  // namespace expunge
