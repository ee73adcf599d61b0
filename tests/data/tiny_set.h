#pragma once

#include <fmt/core.h>

#include <algorithm>

#include "core/rng.h"
#include "data/dataset.h"

namespace expunge::test {

// A small data set of random pixels. Labels go round; ids are over the pixels.
inline data::Dataset tiny_set(int64_t train, int64_t test, int64_t classes, int64_t side = 4) {
  data::Dataset set;
  set.name = "tiny";
  set.height = set.width = side;
  set.channels = 3;
  set.train_count = train;
  set.test_count = test;
  for (int64_t c = 0; c < classes; ++c) set.classes.push_back(fmt::format("class{}", c));
  for (int64_t i = 0; i < train + test; ++i) {
    set.labels.push_back(static_cast<uint16_t>(i % classes));
    set.sources.push_back(fmt::format("tiny:{}", i));
    for (int64_t p = 0; p < set.image_bytes(); ++p)
      set.pixels.push_back(static_cast<uint8_t>(
          rng::philox(11, rng::Purpose::test,
                      {{static_cast<uint32_t>(i), static_cast<uint32_t>(p), 0, 0}})
              .word[0]));
  }
  data::ids_from_pixels(set);
  data::summarize(set);
  return set;
}

// Makes sample `to` a copy of `from`, label excepted.
inline void copy_sample(data::Dataset& set, int64_t from, int64_t to) {
  std::copy_n(set.image(from), set.image_bytes(), set.pixels.data() + to * set.image_bytes());
  data::ids_from_pixels(set);
  data::summarize(set);
}

}  // namespace expunge::test
