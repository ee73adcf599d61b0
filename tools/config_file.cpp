#include "tools/config_file.h"

#include <algorithm>
#include <sstream>

// 3.3.0 predates the fixes of its depth limit: keep it low.
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

#include "core/check.h"
#include "core/file.h"
#include "tools/toml_ascii.h"

namespace expunge::tools {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 20;

// A scalar as the text that the flag would have.
bool scalar_text(const toml::node& node, std::string& text) {
  if (const auto* s = node.as_string()) return text = s->get(), true;
  if (const auto* i = node.as_integer()) return text = fmt::format("{}", i->get()), true;
  if (const auto* f = node.as_floating_point()) return text = fmt::format("{}", f->get()), true;
  if (const auto* b = node.as_boolean()) return text = b->get() ? "true" : "false", true;
  return false;
}

}  // namespace

void read_config(const std::filesystem::path& path, Source source, Settings& settings,
                 std::span<const std::string> left_out) {
  read_config_text(read_file(path, kMaxBytes), path.string(), source, settings, left_out);
}

void read_config_text(std::string_view toml, const std::string& file, Source source,
                      Settings& settings, std::span<const std::string> left_out) {
  const AsciiToml ascii = ascii_toml(toml);
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
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = fmt::format("{}: line {}", file, key.source().begin.line);
    if (std::ranges::find(left_out, name) != left_out.end()) continue;
    std::string value;
    if (!scalar_text(node, value))
      fail(ExitCode::usage, "{}: {} must be text, a number or true/false", where, name);
    settings.set(name, value, source, where);
  }
}

void write_config(const std::filesystem::path& path, const Settings& settings) {
  Settings absolute = settings;
  const std::string& data = settings.text("data");
  if (data != "builtin")
    absolute.set("data", std::filesystem::absolute(data).string(), Source::flag, "--data");
  for (const Option& o : settings.options())
    if (std::string_view(o.name) == "from")
      absolute.set("from", std::filesystem::absolute(settings.text("from")).string(), Source::flag,
                   "--from");
  write_atomic(path, absolute.to_toml());
}

}  // namespace expunge::tools
