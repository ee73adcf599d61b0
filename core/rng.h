#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/hd.h"

// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A draw is a function of its key and counter, so there is
// no state to save, any order gives the same numbers, and CPU and GPU agree bit for bit.
namespace expunge::rng {

// What a draw is for; part of the key, so that no two uses share numbers. Never renumber: runs
// depend on it.
enum class Purpose : uint32_t {
  init = 1,      // counter: parameter, element
  shuffle = 2,   // epoch, position
  augment = 3,   // epoch, sample id (64 bits), which draw
  dropout = 4,   // step, pass, layer, element
  split = 5,     // class, position
  forget = 6,    // position
  builtin = 7,   // sample, which draw
  label = 8,     // step, sample
  mask = 9,      // step, element
  perturb = 10,  // element
  attack = 11,   // which order, position
  corrupt = 12,  // what for, position
  shadow = 13,   // input of the last layer
  halves = 14,   // pair of U-LiRA's shadows, position in F; for their seeds: -1, shadow
  smoke = 15,    // position
  test = 100,    // tests and benchmarks
};

struct Draw {
  uint32_t word[4];
};

struct Counter {
  uint32_t word[4];
};

EXPUNGE_HD Draw philox(uint64_t seed, Purpose purpose, Counter counter) {
  // The purpose is mixed into the key by a multiplicative hash, so near seeds and purposes stay
  // apart.
  const uint64_t key = seed + 0x9E3779B97F4A7C15ull * static_cast<uint64_t>(purpose);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0,
                   n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits: every value is exact in float.
EXPUNGE_HD float uniform(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

// An integer in [0, n); its bias is below n / 2^32.
EXPUNGE_HD uint32_t below(uint32_t word, uint32_t n) {
  return static_cast<uint32_t>((static_cast<uint64_t>(word) * n) >> 32);
}

// Of Purpose::mask. Word 0: bernoulli, word 1: lots.
EXPUNGE_HD Draw mask_draw(uint64_t seed, int64_t step, int64_t element) {
  const auto s = static_cast<uint64_t>(step), e = static_cast<uint64_t>(element);
  return philox(seed, Purpose::mask,
                {{static_cast<uint32_t>(s), static_cast<uint32_t>(s >> 32),
                  static_cast<uint32_t>(e), static_cast<uint32_t>(e >> 32)}});
}

// Two independent normal numbers from two words, by cosine and sine of one angle (Box & Muller
// 1958).
struct NormalPair {
  double value[2];
};
inline NormalPair normal_pair(uint32_t a, uint32_t b) {
  const double radius = std::sqrt(-2.0 * std::log(double{uniform(a)} + 0x1p-25));
  const double angle = 2.0 * std::numbers::pi * double{uniform(b)};
  return {{radius * std::cos(angle), radius * std::sin(angle)}};
}

}  // namespace expunge::rng
