#include "support/normal_values.h"

#include <cmath>
#include <numbers>

#include "core/rng.h"

namespace expunge::test {

std::vector<double> normal_values(int64_t n, uint64_t key) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) {
    const rng::Draw d = rng::philox(key, rng::Purpose::test, {{static_cast<uint32_t>(i), 0, 0, 0}});
    const double radius = std::sqrt(-2 * std::log(double{rng::uniform(d.word[0])} + 1e-9));
    // through float: both sides then start from the same number
    values.push_back(double{static_cast<float>(
        radius * std::cos(2 * std::numbers::pi * double{rng::uniform(d.word[1])}))});
  }
  return values;
}

}  // namespace expunge::test
