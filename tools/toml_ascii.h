#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace expunge::tools {

// A TOML text with the same meaning in ASCII: characters beyond it become escapes in strings and
// question marks in comments. toml++ 3.3.0 has undefined behaviour where it looks for whitespace
// and meets such a character, and what it takes for a string is not always what one would, so it
// must not see any.
struct AsciiToml {
  struct Fault {
    size_t line, column;  // from 1
    const char* what;
  };
  std::string text;
  // Beyond ASCII outside strings and comments, where TOML has no such characters; not UTF-8; and a
  // string over several lines, which no option needs.
  std::optional<Fault> fault;
};
AsciiToml ascii_toml(std::string_view text);

}  // namespace expunge::tools
