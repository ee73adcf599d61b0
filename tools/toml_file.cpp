#include "tools/toml_file.h"

#include <algorithm>
#include <sstream>

// 3.3.0 predates the fixes of its depth limit: keep it low.
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

#include "core/check.h"
#include "tools/toml_ascii.h"

namespace expunge::tools {
namespace {

TomlNode node_of(const toml::node& value, const toml::source_position& at, std::string key) {
  using Kind = TomlNode::Kind;
  TomlNode node{.kind = Kind::scalar, .key = std::move(key), .items = {}, .line = at.line};
  if (const auto* s = value.as_string())
    node.text = s->get();
  else if (const auto* i = value.as_integer())
    node.text = fmt::format("{}", i->get());
  else if (const auto* f = value.as_floating_point())
    node.text = fmt::format("{}", f->get());
  else if (const auto* b = value.as_boolean())
    node.text = b->get() ? "true" : "false";
  else if (const auto* array = value.as_array()) {
    node.kind = Kind::array;
    for (const toml::node& item : *array)
      node.items.push_back(node_of(item, item.source().begin, ""));
  } else if (const auto* table = value.as_table()) {
    node.kind = Kind::table;
    std::vector<std::pair<toml::source_position, TomlNode>> found;
    for (const auto& [name, item] : *table) {
      const toml::source_position place = name.source().begin;
      found.emplace_back(place, node_of(item, place, std::string(name.str())));
    }
    std::ranges::stable_sort(found, [](const auto& one, const auto& other) {
      return std::pair(one.first.line, one.first.column) <
             std::pair(other.first.line, other.first.column);
    });
    for (auto& [place, item] : found) node.items.push_back(std::move(item));
  } else {
    node.kind = Kind::other;
  }
  return node;
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view name) const {
  const auto it = std::ranges::find(items, name, &TomlNode::key);
  return kind != Kind::table || it == items.end() ? nullptr : &*it;
}

TomlNode parse_toml(std::string_view text, const std::string& file) {
  const AsciiToml ascii = ascii_toml(text);
  const auto refuse = [&](size_t line, size_t column, std::string_view what) {
    fail(ExitCode::usage, "{}: line {}, column {}: {}", file, line, column, what);
  };
  if (ascii.fault) refuse(ascii.fault->line, ascii.fault->column, ascii.fault->what);
  toml::table table;
  try {
    table = toml::parse(ascii.text);
  } catch (const toml::parse_error& error) {
    refuse(error.source().begin.line, error.source().begin.column, error.description());
  }
  return node_of(table, {1, 1}, "");
}

}  // namespace expunge::tools
