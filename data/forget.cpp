#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "core/check.h"
#include "core/file.h"
#include "data/chosen.h"
#include "data/draw_order.h"
#include "data/prepare_sources.h"
#include "data/split.h"

namespace expunge::data {
namespace {

using Positions = std::vector<int32_t>;

constexpr uint64_t kMaxIdFile = uint64_t{256} << 20;
constexpr size_t kMaxLine = 1024;

[[noreturn]] void refuse_grammar(const std::string& spec) {
  fail(ExitCode::usage,
       "forget set \"{}\": expected random:0.1 (a share), random:4500 (a number), class:NAME or "
       "class:INDEX, class:NAME:450 (a number of one class), file:PATH, poisoned or mislabeled",
       spec);
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Draws `count` of the candidates; groups of equal ids may make it a few more.
void choose_random(Chosen& chosen, Positions candidates, int64_t count, uint64_t key,
                   uint32_t group) {
  shuffle_keyed(candidates, key, rng::Purpose::forget, group);
  for (auto it = candidates.begin(); it != candidates.end() && chosen.count() < count; ++it)
    chosen.add(*it);
}

int64_t checked_count(const std::string& spec, int64_t count, int64_t available) {
  if (count > available)
    fail(ExitCode::input, "forget set \"{}\": there are only {} such training samples", spec,
         available);
  return count;
}

// random:0.1 or random:4500
int64_t random_count(const std::string& spec, std::string_view value, int64_t available) {
  if (const auto count = parse_number<int64_t>(value); count && *count >= 0)
    return checked_count(spec, *count, available);
  const auto share = parse_number<double>(value);
  if (!share || !(*share >= 0 && *share <= 1)) refuse_grammar(spec);
  return static_cast<int64_t>(*share * static_cast<double>(available) + 0.5);
}

// class:3, class:automobile, class:0:450. A class name may hold a colon itself.
void choose_class(Chosen& chosen, const std::string& spec, std::string_view value,
                  const Dataset& set, const Positions& train, uint64_t key) {
  std::optional<size_t> label = set.find_class(value);
  std::optional<int64_t> count;
  if (const size_t colon = value.rfind(':'); !label && colon != value.npos) {
    count = parse_number<int64_t>(value.substr(colon + 1));
    if (!count || *count < 0) refuse_grammar(spec);
    label = set.find_class(value.substr(0, colon));
  }
  if (value.empty()) refuse_grammar(spec);
  if (!label)
    fail(ExitCode::input, "forget set \"{}\": no such class in {}; classes are:{}", spec, set.name,
         listing(set.classes));
  Positions members;
  std::copy_if(train.begin(), train.end(), std::back_inserter(members),
               [&](int32_t p) { return set.labels[static_cast<size_t>(p)] == *label; });
  const int64_t wanted =
      checked_count(spec, count.value_or(std::ssize(members)), std::ssize(members));
  choose_random(chosen, members, wanted, key, static_cast<uint32_t>(*label) + 1);
}

// Names samples by id, position or source path.
class Directory {
 public:
  explicit Directory(const Dataset& set) : set_(set) {
    for (size_t i = 0; i < set.sources.size(); ++i) by_source_.emplace(set.sources[i], i);
  }
  std::optional<SampleId> find(const std::string& name) const {
    if (SampleId id; SampleId::parse(name, id)) return id;
    if (const auto found = by_source_.find(name); found != by_source_.end())
      return set_.ids[found->second];
    const auto position = parse_number<size_t>(name);
    if (position && *position < set_.ids.size()) return set_.ids[*position];
    return std::nullopt;
  }

 private:
  const Dataset& set_;
  std::unordered_map<std::string_view, size_t> by_source_;
};

// The sample a line names: white space and a comment (# first or after white space) are cut off.
std::string strip(const std::string& line) {
  constexpr const char* kSpace = " \t\r";
  size_t end = line.size();
  for (size_t at = line.find('#'); at != line.npos; at = line.find('#', at + 1)) {
    if (at != 0 && line[at - 1] != ' ' && line[at - 1] != '\t') continue;
    end = at;
    break;
  }
  const std::string text = line.substr(0, end);
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

int64_t choose_listed(Chosen& chosen, const std::string& path, const Dataset& set) {
  std::istringstream file(read_file(path, kMaxIdFile));
  const Directory directory(set);
  std::vector<std::string> unknown;
  int64_t duplicates = 0, number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const std::string name = strip(line);
    if (name.empty()) continue;
    const std::optional<SampleId> id =
        name.size() <= kMaxLine ? directory.find(name) : std::nullopt;
    if (id && chosen.trains(*id))
      duplicates += chosen.add(*id) ? 0 : 1;
    else
      unknown.push_back(fmt::format("line {}: {}", number, name.substr(0, 80)));
  }
  if (!unknown.empty())
    fail(ExitCode::input,
         "{}: {} lines name no training sample of {} (validation, test and samples beyond --limit "
         "are not trained on):{}",
         path, unknown.size(), set.name, listing(unknown));
  return duplicates;
}

// poisoned, mislabeled: those of the set's record that are trained on.
void choose_recorded(Chosen& chosen, const std::string& spec, const Dataset& set) {
  const std::vector<SampleId>& recorded = spec == "poisoned" ? set.poisoned : set.mislabeled;
  if (recorded.empty())
    fail(ExitCode::input,
         "forget set \"{}\": {} has no record of {} samples; expunge data corrupt makes such a set",
         spec, set.name, spec);
  for (const SampleId& id : recorded)
    if (chosen.trains(id)) chosen.add(id);
}

}  // namespace

ForgetSet resolve_forget(const std::string& spec, const Dataset& set, const Split& split,
                         uint64_t forget_seed) {
  const size_t colon = std::min(spec.find(':'), spec.size());
  const std::string kind = spec.substr(0, colon);
  const std::string value = colon < spec.size() ? spec.substr(colon + 1) : "";
  const uint64_t key = draw_key(set.digest, forget_seed);
  const int64_t available = std::ssize(split.train);
  Chosen chosen(set, split.train);
  ForgetSet result;
  if (kind == "random")
    choose_random(chosen, split.train, random_count(spec, value, available), key, 0);
  else if (kind == "class")
    choose_class(chosen, spec, value, set, split.train, key);
  else if (kind == "file" && !value.empty())
    result.duplicates = choose_listed(chosen, value, set);
  else if (spec == "poisoned" || spec == "mislabeled")
    choose_recorded(chosen, spec, set);
  else
    refuse_grammar(spec);
  if (chosen.count() == 0)
    fail(ExitCode::input, "forget set \"{}\": it is empty, nothing would be forgotten", spec);
  if (chosen.count() == available)
    fail(ExitCode::input,
         "forget set \"{}\": it is the whole training set ({} samples), nothing would be retained",
         spec, available);
  result.positions = chosen.positions();
  return result;
}

}  // namespace expunge::data
