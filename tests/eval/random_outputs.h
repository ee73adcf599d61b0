#pragma once

#include "core/rng.h"
#include "eval/outputs.h"

namespace expunge::test {

// As of a classifier with margins of about `strength`: normal logits, and `strength` more for the
// label. Samples stand at positions 0, 1, ...
inline eval::Outputs random_outputs(int64_t samples, int64_t classes, double strength,
                                    uint32_t key) {
  eval::Outputs out{.classes = classes};
  std::vector<float> z(static_cast<size_t>(classes));
  for (int64_t i = 0; i < samples; ++i) {
    const auto draw = [&](int64_t j) {
      return rng::philox(key, rng::Purpose::test,
                         {{static_cast<uint32_t>(i), static_cast<uint32_t>(j), 0, 0}});
    };
    for (int64_t j = 0; j < classes; ++j) {
      const rng::Draw d = draw(j);
      z[static_cast<size_t>(j)] =
          static_cast<float>(2 * rng::normal_pair(d.word[0], d.word[1]).value[0]);
    }
    const auto label = rng::below(draw(classes).word[0], static_cast<uint32_t>(classes));
    z[label] += static_cast<float>(strength);
    out.add(z, static_cast<int32_t>(label), static_cast<int32_t>(i));
  }
  return out;
}

}  // namespace expunge::test
