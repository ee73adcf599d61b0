#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "data/prepare_sources.h"

namespace expunge::data {
namespace {

// Training samples of the class that go: the smallest ids, and every copy of the last of them.
void choose(const Dataset& set, std::vector<size_t> samples, double fraction,
            std::vector<bool>& goes) {
  std::ranges::stable_sort(samples, {}, [&](size_t i) { return set.ids[i]; });
  auto count = static_cast<size_t>(std::llround(fraction * static_cast<double>(samples.size())));
  while (count > 0 && count < samples.size() &&
         set.ids[samples[count]] == set.ids[samples[count - 1]])
    ++count;
  for (size_t i = 0; i < count; ++i) goes[samples[i]] = true;
}

template <class T>
void reorder(std::vector<T>& values, const std::vector<size_t>& order, size_t each = 1) {
  std::vector<T> moved;
  moved.reserve(values.size());
  for (size_t i : order)
    moved.insert(moved.end(), values.begin() + static_cast<std::ptrdiff_t>(i * each),
                 values.begin() + static_cast<std::ptrdiff_t>((i + 1) * each));
  values = std::move(moved);
}

}  // namespace

void split_off_test(Dataset& set, double fraction) {
  EXPUNGE_CHECK(set.test_count == 0 && fraction > 0 && fraction < 1,
                "split_off_test: {} of a set with {} test samples", fraction, set.test_count);
  std::vector<std::vector<size_t>> classes(set.classes.size());
  for (size_t i = 0; i < set.labels.size(); ++i) classes[set.labels[i]].push_back(i);
  std::vector<bool> goes(set.labels.size());
  for (const std::vector<size_t>& samples : classes) choose(set, samples, fraction, goes);

  std::vector<size_t> order(set.labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](size_t i) { return !goes[i]; });
  reorder(set.pixels, order, static_cast<size_t>(set.image_bytes()));
  reorder(set.labels, order);
  reorder(set.ids, order);
  reorder(set.sources, order);
  set.test_count = std::ranges::count(goes, true);
  set.train_count -= set.test_count;
  if (set.test_count == 0 || set.train_count == 0)
    fail(ExitCode::input, "--test-fraction {} of {} images leaves a part empty", fraction,
         set.labels.size());
}

}  // namespace expunge::data
