#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace expunge::data {

// Positions in the data set, each list ascending.
struct Split {
  std::vector<int32_t> train, val, test;
};

// Keeps `limit` training samples, class-balanced (0: all), then takes int(val_fraction * n_c) of
// each class's n_c samples for validation. Depends on the data set's digest and split_seed alone,
// never on a run's seed.
struct SplitOptions {
  double val_fraction = 0.1;
  uint64_t split_seed = 0;
  int64_t limit = 0;
};
Split make_split(const Dataset& set, const SplitOptions& options);

// The forget set: positions (a subset of split.train, ascending) named by `spec`:
//   random:0.1  random:4500  class:3  class:automobile  class:0:450 (450 of class 0)
//   file:ids.txt  one sample a line: 32-digit id, position in the data set, or source path; #
//   comments
//   poisoned  mislabeled: those of them that the set's record names (data/corrupt.h)
// Samples with equal ids are forgotten together. Unknown ids, an empty set: ExitCode::input,
// listed.
struct ForgetSet {
  std::vector<int32_t> positions;
  int64_t duplicates = 0;  // lines that named a sample again
};
ForgetSet resolve_forget(const std::string& spec, const Dataset& set, const Split& split,
                         uint64_t forget_seed);

// `from` without `remove`; both ascending.
std::vector<int32_t> without(const std::vector<int32_t>& from, const std::vector<int32_t>& remove);

}  // namespace expunge::data
