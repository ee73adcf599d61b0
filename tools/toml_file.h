#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace expunge::tools {

// A value of a TOML file; tables and arrays keep the file's order.
struct TomlNode {
  enum class Kind : unsigned char { scalar, array, table, other };  // other: dates and times

  Kind kind = Kind::table;
  std::string key{};            // in its table; "" in an array
  std::string text{};           // of a scalar: as the flag would have it
  std::vector<TomlNode> items;  // of a table or an array
  int64_t line = 1;             // where the key stands, or in an array the value

  const TomlNode* find(std::string_view name) const;  // in a table; null where there is none
};

// The root table. A syntax error, a key twice, not UTF-8, nested deeper than 64: ExitCode::usage
// with `file`, line and column.
TomlNode parse_toml(std::string_view toml, const std::string& file);

}  // namespace expunge::tools
