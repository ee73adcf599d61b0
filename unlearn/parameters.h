#pragma once

#include <charconv>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/nearest.h"

namespace expunge::unlearn {

// Reads "name[:value][,key=value]". What is not taken by name is refused by finish().
class Parameters {
 public:
  explicit Parameters(const std::string& text) : text_(text) {
    for (size_t at = text.find_first_of(":,"); at < text.size();) {
      const size_t end = std::min(text.find(',', at + 1), text.size());
      const std::string part = text.substr(at + 1, end - at - 1);
      const size_t equal = text[at] == ':' ? 0 : std::min(part.find('='), part.size());
      given_.push_back({part.substr(0, equal),
                        text[at] == ':' ? part : part.substr(std::min(equal + 1, part.size()))});
      at = end;
    }
  }
  static std::string name_of(const std::string& text) {
    return text.substr(0, text.find_first_of(":,"));
  }

  // Takes the number `key`, "" for the value behind the colon, where it was given.
  template <class T>
  void number(const char* key, T& out, T least, T most) {
    const std::string value = take(key);
    if (value.empty()) return;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, out);
    if (error != std::errc() || stop != end || !(out >= least && out <= most))
      fail(ExitCode::usage, "method '{}': {} is '{}', expected a number from {} to {}", text_,
           *key == '\0' ? "its value" : key, value, least, most);
  }
  // Takes the word `key`, one of two; true where it is the second.
  bool second(const char* key, const char* first, const char* other) {
    const std::string value = take(key);
    if (!value.empty() && value != first && value != other)
      fail(ExitCode::usage, "method '{}': {} is '{}', expected {} or {}", text_, key, value, first,
           other);
    return value == other;
  }
  void finish() const {
    if (given_.empty()) return;
    if (given_.front().key.empty())
      fail(ExitCode::usage, "method '{}': {} has no value", text_, name_of(text_));
    fail(ExitCode::usage, "method '{}': {} has no parameter {}{}", text_, name_of(text_),
         given_.front().key, nearest_hint(given_.front().key, known_));
  }

 private:
  struct Given {
    std::string key, value;
  };
  std::string take(const char* key) {
    if (*key != '\0') known_.emplace_back(key);
    for (size_t i = 0; i < given_.size(); ++i) {
      if (given_[i].key != key) continue;
      const std::string value = given_[i].value;
      if (value.empty())
        fail(ExitCode::usage, "method '{}': a value is missing behind {}", text_,
             *key == '\0' ? ":" : key);
      given_.erase(given_.begin() + static_cast<std::ptrdiff_t>(i));
      return value;
    }
    return "";
  }
  const std::string text_;
  std::vector<Given> given_;
  std::vector<std::string> known_;
};

}  // namespace expunge::unlearn
