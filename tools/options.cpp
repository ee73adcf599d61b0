#include "tools/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/check.h"
#include "core/nearest.h"

namespace expunge::tools {
namespace {

template <class T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_choice(std::string_view choices, std::string_view value) {
  for (size_t begin = 0; begin <= choices.size();) {
    const size_t end = std::min(choices.find('|', begin), choices.size());
    if (choices.substr(begin, end - begin) == value) return true;
    begin = end + 1;
  }
  return false;
}

template <class T>
bool in_range(std::string_view range, T value) {
  const size_t dots = range.find("..");
  T low{}, high{};
  const bool above = !parse(range.substr(0, dots), low) || value >= low;
  return above && (!parse(range.substr(dots + 2), high) || value <= high);
}

// What is wrong with the value, or "".
std::string fault(const Option& o, const std::string& value) {
  int64_t integer = 0;
  double real = 0;
  switch (o.kind) {
    case Kind::text:
    case Kind::list:
      return "";
    case Kind::integer:
      return parse(value, integer) && in_range(o.range, integer)
                 ? ""
                 : fmt::format("an integer in {}", o.range);
    case Kind::real:
      return parse(value, real) && in_range(o.range, real) ? ""
                                                           : fmt::format("a number in {}", o.range);
    case Kind::flag:
      return is_choice("true|false", value) ? "" : "true or false";
    case Kind::choice:
      return is_choice(o.range, value) ? "" : fmt::format("one of {}", o.range);
  }
  return "";
}

std::string quoted(const std::string& text) {  // as a TOML basic string
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace

std::vector<Option> options_of(std::string_view verb) {
  std::vector<Option> mine;
  for (const Option& o : all_options()) {
    const std::string verbs = std::string(" ") + o.verbs + " ";
    if (verbs.find(" " + std::string(verb) + " ") != std::string::npos) mine.push_back(o);
  }
  return mine;
}

Settings::Settings(std::string verb) : verb_(std::move(verb)), options_(options_of(verb_)) {
  for (const Option& o : options_) values_[o.name] = {o.fallback, Source::fallback};
}

const Option& Settings::option(const std::string& name, const std::string& where) const {
  const auto it = std::ranges::find_if(options_, [&](const Option& o) { return name == o.name; });
  if (it != options_.end()) return *it;
  std::vector<std::string> names;
  for (const Option& o : options_) names.emplace_back(o.name);
  fail(ExitCode::usage, "{}: '{}' is not an option of {}{}", where, name, typed_verb(),
       nearest_hint(name, names));
}

void Settings::set(const std::string& name, const std::string& value, Source source,
                   const std::string& where) {
  const Option& o = option(name, where);
  const std::string expected = fault(o, value);
  if (!expected.empty())
    fail(ExitCode::usage, "{}: {} is '{}', expected {}", where, name, value, expected);
  Value& current = values_[name];
  if (source >= current.source) current = {value, source};
}

void Settings::set_from_environment() {
  for (const Option& o : options_) {
    std::string variable = "EXPUNGE_";
    for (const char* c = o.name; *c != '\0'; ++c)
      variable += *c == '-' ? '_' : static_cast<char>(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    if (const char* value = std::getenv(variable.c_str()))
      set(o.name, value, Source::environment, variable);
  }
}

std::string Settings::typed_verb() const {
  std::string typed = verb_;
  std::ranges::replace(typed, '-', ' ');
  return typed;
}

const std::string& Settings::text(const std::string& name) const {
  const auto it = values_.find(name);
  EXPUNGE_CHECK(it != values_.end(), "settings: {} has no option {}", verb_, name);
  return it->second.text;
}

std::vector<std::string> Settings::list(const std::string& name) const {
  const std::string& all = text(name);
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(',', begin), all.size());
    if (end > begin) parts.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

int64_t Settings::integer(const std::string& name) const {
  int64_t value = 0;
  parse(text(name), value);
  return value;
}

double Settings::real(const std::string& name) const {
  double value = 0;
  parse(text(name), value);
  return value;
}

bool Settings::flag(const std::string& name) const {
  return text(name) == "true";
}

Source Settings::source(const std::string& name) const {
  text(name);
  return values_.at(name).source;
}

std::string Settings::to_toml() const {
  std::string out = fmt::format("# expunge {}: every option, resolved\n", verb_);
  for (const Option& o : options_) {
    if (!o.saved) continue;
    const bool bare = o.kind == Kind::integer || o.kind == Kind::flag;
    const std::string value = o.kind == Kind::real ? fmt::format("{}", real(o.name))
                              : bare               ? text(o.name)
                                                   : quoted(text(o.name));
    out += fmt::format("{} = {}\n", o.name, value);
  }
  return out;
}

}  // namespace expunge::tools
