#pragma once

#include <cstdint>
#include <vector>

namespace expunge::test {

// Standard normal values, the same for the same key. Each is a float.
std::vector<double> normal_values(int64_t n, uint64_t key);

}  // namespace expunge::test
