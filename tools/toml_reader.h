#pragma once

#include <fmt/core.h>

#include <charconv>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/nearest.h"
#include "tools/toml_file.h"

namespace expunge::tools {

// Typed values of one TOML file; every complaint names the file and a line (ExitCode::usage).
class TomlReader {
 public:
  explicit TomlReader(std::string file) : file_(std::move(file)) {}

 protected:
  using Kind = TomlNode::Kind;

  std::string place(const TomlNode& node) const {
    return fmt::format("{}: line {}", file_, node.line);
  }
  [[noreturn]] void refuse(const TomlNode& node, const std::string& what) const {
    fail(ExitCode::usage, "{}: {}", place(node), what);
  }
  [[noreturn]] void unknown(const TomlNode& node, const std::vector<std::string>& known) const {
    refuse(node, fmt::format("'{}' is not known{}", node.key, nearest_hint(node.key, known)));
  }

  const TomlNode& expect(const TomlNode& node, Kind kind, const char* words) const {
    if (node.kind != kind) refuse(node, fmt::format("{} must be {}", node.key, words));
    return node;
  }
  const TomlNode& table(const TomlNode& node) const { return expect(node, Kind::table, "a table"); }

  std::string text(const TomlNode& node) const {
    return expect(node, Kind::scalar, "text or a number").text;
  }
  template <class T>
  T number(const TomlNode& node) const {
    T value{};
    const std::string s = text(node);
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
    if (error != std::errc() || end != s.data() + s.size() || value < 0)
      refuse(node, fmt::format("{} is '{}', expected a number", node.key, s));
    return value;
  }
  // One text alone counts as an array of one.
  std::vector<std::string> texts(const TomlNode& node) const {
    if (node.kind == Kind::scalar) return {node.text};
    std::vector<std::string> all;
    for (const TomlNode& item : expect(node, Kind::array, "an array").items)
      all.push_back(text(item));
    return all;
  }

 private:
  std::string file_;
};

}  // namespace expunge::tools
