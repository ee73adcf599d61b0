#include "tools/repeated.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "tools/unlearning.h"

namespace expunge::tools {
namespace {

// Where things are, not what they are: those are compared by content.
constexpr std::string_view kPlaces[] = {"data", "forget", "forget-seed", "from", "reference"};
// What unlearning takes over from its original.
constexpr std::string_view kInherited[] = {"data",       "limit", "val-fraction",
                                           "split-seed", "model", "augment"};

bool is_one_of(std::span<const std::string_view> names, const Option& o) {
  return std::ranges::find(names, std::string_view(o.name)) != names.end();
}

bool same(const Option& o, const Settings& a, const Settings& b) {
  return o.kind == Kind::real ? a.real(o.name) == b.real(o.name) : a.text(o.name) == b.text(o.name);
}

std::string flag_of(const Option& o, const Settings& settings) {
  return fmt::format("--{}={}", o.name, settings.text(o.name));
}

// As unlearn resolves method, preset and what else is given.
Settings resolved(const Settings& settings, const std::vector<const Option*>& given) {
  Settings result("unlearn");
  for (const Option* o : given)
    result.set(o->name, settings.text(o->name), Source::flag, flag_of(*o, settings));
  resolve_preset(result);
  return result;
}

}  // namespace

std::vector<std::string> training_flags(const Settings& settings) {
  std::vector<std::string> flags;
  for (const Option& o : settings.options())
    if (o.saved && std::string_view(o.name) != "forget" && !settings.text(o.name).empty())
      flags.push_back(flag_of(o, settings));
  return flags;
}

std::vector<std::string> unlearning_flags(const Settings& settings, const std::string& run) {
  // Only what differs from method and preset: some presets refuse options that they have no use
  // for.
  std::vector<const Option*> given;
  for (const Option& o : settings.options())
    if (std::string_view(o.name) == "method" || std::string_view(o.name) == "preset")
      given.push_back(&o);
  const Settings plain = resolved(settings, given);
  const auto counts = [](const Option& o) {
    return o.saved && !is_one_of(kPlaces, o) && !is_one_of(kInherited, o);
  };
  for (const Option& o : settings.options())
    if (counts(o) && !same(o, settings, plain)) given.push_back(&o);
  const Settings again = resolved(settings, given);
  for (const Option& o : settings.options())
    if (counts(o) && !same(o, settings, again))
      fail(ExitCode::input, "{}: cannot be repeated, its {} would be {}, expected {}", run, o.name,
           again.text(o.name), settings.text(o.name));
  std::vector<std::string> flags;
  for (const Option* o : given) flags.push_back(flag_of(*o, settings));
  return flags;
}

const char* difference(const Settings& a, const Settings& b) {
  for (const Option& o : a.options())
    if (o.saved && !is_one_of(kPlaces, o) && !same(o, a, b)) return o.name;
  return nullptr;
}

}  // namespace expunge::tools
