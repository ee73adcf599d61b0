#include "data/corrupt.h"

#include <algorithm>

#include "core/check.h"
#include "data/chosen.h"
#include "data/draw_order.h"

namespace expunge::data {
namespace {

// Counters of Purpose::corrupt: what a draw is for.
enum Draws : uint32_t { kWhich = 0, kLabel = 1 };

bool is_in(const std::vector<SampleId>& sorted, const SampleId& id) {
  return std::ranges::binary_search(sorted, id);
}

const SampleId& id_at(const Dataset& set, int32_t position) {
  return set.ids[static_cast<size_t>(position)];
}

uint16_t& label_at(Dataset& set, int32_t position) {
  return set.labels[static_cast<size_t>(position)];
}

std::vector<int32_t> training_positions(const Dataset& set) {
  std::vector<int32_t> all(static_cast<size_t>(set.train_count));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
  return all;
}

// int(share n + 1/2) training samples, and copies of the last one; none that was spoilt before,
// none labelled `except`.
std::vector<int32_t> draw(const Dataset& set, double share, uint64_t key, int64_t except) {
  if (!(share > 0 && share < 1))
    fail(ExitCode::usage, "share {} of the training samples: expected above 0 and below 1", share);
  const auto wanted = static_cast<int64_t>(share * static_cast<double>(set.train_count) + 0.5);
  const std::vector<int32_t> all = training_positions(set);
  std::vector<int32_t> candidates;
  for (int32_t p : all)
    if (set.labels[static_cast<size_t>(p)] != except && !is_in(set.mislabeled, id_at(set, p)) &&
        !is_in(set.poisoned, id_at(set, p)))
      candidates.push_back(p);
  if (wanted == 0 || wanted > std::ssize(candidates))
    fail(ExitCode::input, "{}: {} of {} training samples would be spoilt, there are {} to choose",
         set.name, wanted, set.train_count, candidates.size());
  shuffle_keyed(candidates, key, rng::Purpose::corrupt, kWhich);
  Chosen chosen(set, all);
  for (auto it = candidates.begin(); it != candidates.end() && chosen.count() < wanted; ++it)
    chosen.add(*it);
  return chosen.positions();
}

std::vector<SampleId> ids_of(const Dataset& set, const std::vector<int32_t>& positions) {
  std::vector<SampleId> ids;
  for (int32_t p : positions) ids.push_back(id_at(set, p));
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

// Calls visit(first byte) of each pixel of the patch.
template <class Byte, class Visit>
void each_patch_pixel(const Dataset& set, const Trigger& t, Byte* image, Visit visit) {
  for (int64_t y = set.height - t.margin - t.side; y < set.height - t.margin; ++y)
    for (int64_t x = set.width - t.margin - t.side; x < set.width - t.margin; ++x)
      visit(image + (y * set.width + x) * set.channels);
}

void stamp(const Dataset& set, const Trigger& trigger, uint8_t* image) {
  each_patch_pixel(set, trigger, image, [&](uint8_t* p) { std::fill_n(p, set.channels, 0); });
}

bool shows(const Dataset& set, int32_t position) {
  bool black = true;
  each_patch_pixel(set, set.trigger, set.image(position), [&](const uint8_t* p) {
    black = black && std::all_of(p, p + set.channels, [](uint8_t v) { return v == 0; });
  });
  return black;
}

std::string fault_of_trigger(const Dataset& set, const Trigger& t) {
  if (t.target < 0 || t.target >= std::ssize(set.classes))
    return fmt::format("the trigger's target is class {}, there are {}", t.target,
                       set.classes.size());
  if (t.side < 1 || t.margin < 0 || t.margin > std::min(set.height, set.width) - t.side)
    return fmt::format("a trigger of {0}x{0} pixels, {1} from the edge, lies outside {2}x{3}",
                       t.side, t.margin, set.height, set.width);
  return "";
}

}  // namespace

void mislabel(Dataset& set, double share, uint64_t seed) {
  const auto classes = static_cast<uint32_t>(set.classes.size());
  if (classes < 2) fail(ExitCode::input, "{}: has one class, there is no wrong label", set.name);
  if (!set.mislabeled.empty())
    fail(ExitCode::input, "{}: {} samples are mislabeled already", set.name, set.mislabeled.size());
  const uint64_t key = draw_key(set.digest, seed);
  const std::vector<int32_t> positions = draw(set, share, key, -1);
  for (int32_t p : positions) {
    const rng::Draw draw =
        rng::philox(key, rng::Purpose::corrupt, {{kLabel, static_cast<uint32_t>(p), 0, 0}});
    uint16_t& label = label_at(set, p);
    label = static_cast<uint16_t>((label + 1 + rng::below(draw.word[0], classes - 1)) % classes);
  }
  set.mislabeled = ids_of(set, positions);
  summarize(set);
}

void poison(Dataset& set, double share, const Trigger& trigger, uint64_t seed) {
  if (const std::string fault = fault_of_trigger(set, trigger); !fault.empty())
    fail(ExitCode::usage, "{}: {}", set.name, fault);
  if (!set.poisoned.empty())
    fail(ExitCode::input, "{}: {} samples are poisoned already", set.name, set.poisoned.size());
  const std::vector<int32_t> positions =
      draw(set, share, draw_key(set.digest, seed), trigger.target);
  for (int32_t p : positions) {
    stamp(set, trigger, set.pixels.data() + p * set.image_bytes());
    label_at(set, p) = static_cast<uint16_t>(trigger.target);
    if (set.id_source == IdSource::pixels)
      set.ids[static_cast<size_t>(p)] = id_of(set.image(p), static_cast<size_t>(set.image_bytes()));
  }
  set.poisoned = ids_of(set, positions);
  set.trigger = trigger;
  summarize(set);
}

Dataset triggered_test(const Dataset& set, const std::vector<int32_t>& test) {
  Dataset out;
  out.name = set.name, out.classes = set.classes;
  out.height = set.height, out.width = set.width, out.channels = set.channels;
  out.mean = set.mean, out.std = set.std;
  if (set.poisoned.empty()) return out;
  for (int32_t i : test) {
    const auto at = static_cast<size_t>(i);
    if (set.labels[at] == set.trigger.target) continue;
    out.pixels.insert(out.pixels.end(), set.image(i), set.image(i) + set.image_bytes());
    stamp(set, set.trigger, out.pixels.data() + out.test_count++ * set.image_bytes());
    out.labels.push_back(static_cast<uint16_t>(set.trigger.target));
    out.ids.push_back(set.ids[at]);
    out.sources.push_back(set.sources[at]);
  }
  return out;
}

std::string fault_of_record(const Dataset& set) {
  if (set.mislabeled.empty() && set.poisoned.empty()) return "";
  const std::vector<int32_t> all = training_positions(set);
  const std::vector<SampleId> known = ids_of(set, all);
  for (const auto* list : {&set.mislabeled, &set.poisoned})
    for (const SampleId& id : *list)
      if (!is_in(known, id))
        return fmt::format("sample {} is recorded as {}, and no training sample has this id",
                           id.hex(), list == &set.poisoned ? "poisoned" : "mislabeled");
  if (set.poisoned.empty()) return "";
  if (std::string fault = fault_of_trigger(set, set.trigger); !fault.empty()) return fault;
  for (int32_t p : all)
    if (is_in(set.poisoned, id_at(set, p)) &&
        (set.labels[static_cast<size_t>(p)] != set.trigger.target || !shows(set, p)))
      return fmt::format("sample {} is recorded as poisoned, and has another label or no trigger",
                         p);
  return "";
}

}  // namespace expunge::data
