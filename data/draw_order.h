#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/rng.h"

namespace expunge::data {

// Splits and forget sets are drawn by the data set's digest and a seed of their own.
inline uint64_t draw_key(const std::string& digest, uint64_t seed) {
  return std::stoull(digest.substr(0, 16), nullptr, 16) + seed;
}

// Fisher-Yates, keyed: the order depends on nothing but the arguments. `group` keeps several
// shuffles of one purpose apart.
inline void shuffle_keyed(std::vector<int32_t>& order, uint64_t key, rng::Purpose purpose,
                          uint32_t group) {
  for (size_t i = order.size(); i-- > 1;) {
    const rng::Draw draw = rng::philox(key, purpose, {{group, static_cast<uint32_t>(i), 0, 0}});
    std::swap(order[i], order[rng::below(draw.word[0], static_cast<uint32_t>(i + 1))]);
  }
}

}  // namespace expunge::data
