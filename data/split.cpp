#include "data/split.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"
#include "data/draw_order.h"

namespace expunge::data {
namespace {

using Positions = std::vector<int32_t>;

std::vector<Positions> positions_by_class(const Dataset& set) {
  std::vector<Positions> by_class(set.classes.size());
  for (int32_t i = 0; i < set.train_count; ++i)
    by_class[set.labels[static_cast<size_t>(i)]].push_back(i);
  return by_class;
}

// How many of each class are kept: one each in turn, as long as a class has more, until the limit
// is reached.
std::vector<size_t> class_quotas(const std::vector<Positions>& by_class, int64_t limit) {
  std::vector<size_t> quotas(by_class.size());
  while (limit > 0) {
    for (size_t c = 0; c < by_class.size() && limit > 0; ++c)
      if (quotas[c] < by_class[c].size()) ++quotas[c], --limit;
  }
  return quotas;
}

}  // namespace

Split make_split(const Dataset& set, const SplitOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1))
    fail(ExitCode::usage, "validation fraction {}: expected at least 0 and below 1",
         options.val_fraction);
  if (options.limit < 0 || options.limit > set.train_count)
    fail(ExitCode::usage, "limit {}: the training part of {} has {} samples", options.limit,
         set.name, set.train_count);
  std::vector<Positions> by_class = positions_by_class(set);
  const std::vector<size_t> quotas =
      class_quotas(by_class, options.limit == 0 ? set.train_count : options.limit);
  const uint64_t key = draw_key(set.digest, options.split_seed);
  Split split;
  for (size_t c = 0; c < by_class.size(); ++c) {
    Positions& order = by_class[c];
    shuffle_keyed(order, key, rng::Purpose::split, static_cast<uint32_t>(c));
    const auto val =
        static_cast<std::ptrdiff_t>(options.val_fraction * static_cast<double>(quotas[c]));
    const auto kept = order.begin() + static_cast<std::ptrdiff_t>(quotas[c]);
    split.val.insert(split.val.end(), order.begin(), order.begin() + val);
    split.train.insert(split.train.end(), order.begin() + val, kept);
  }
  std::sort(split.val.begin(), split.val.end());
  std::sort(split.train.begin(), split.train.end());
  for (int64_t i = set.train_count; i < set.count(); ++i)
    split.test.push_back(static_cast<int32_t>(i));
  if (split.train.empty())
    fail(ExitCode::input, "{}: no training sample is left of {}", set.name, set.train_count);
  return split;
}

std::vector<int32_t> without(const std::vector<int32_t>& from, const std::vector<int32_t>& remove) {
  std::vector<int32_t> rest;
  std::set_difference(from.begin(), from.end(), remove.begin(), remove.end(),
                      std::back_inserter(rest));
  return rest;
}

}  // namespace expunge::data
