#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace expunge::tools {

struct TomlFault {
  size_t line, column;  // from 1
  const char* what;
};

// What a TOML text must not hold before toml++ reads it. Version 3.3.0 has undefined behaviour
// where it looks for whitespace and meets a character beyond ASCII. TOML has those in strings and
// comments only, so anywhere else they are a fault already; a string over several lines is one of
// ours, for no option needs it.
std::optional<TomlFault> scan_toml(std::string_view text);

}  // namespace expunge::tools
