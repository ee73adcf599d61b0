#include "tools/config_file.h"

#include <algorithm>

#include "core/check.h"
#include "core/file.h"
#include "tools/toml_file.h"

namespace expunge::tools {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 20;

}  // namespace

void read_config(const std::filesystem::path& path, Source source, Settings& settings,
                 std::span<const std::string> left_out) {
  read_config_text(read_file(path, kMaxBytes), path.string(), source, settings, left_out);
}

void read_config_text(std::string_view toml, const std::string& file, Source source,
                      Settings& settings, std::span<const std::string> left_out) {
  for (const TomlNode& node : parse_toml(toml, file).items) {
    const std::string where = fmt::format("{}: line {}", file, node.line);
    if (std::ranges::find(left_out, node.key) != left_out.end()) continue;
    if (node.kind != TomlNode::Kind::scalar)
      fail(ExitCode::usage, "{}: {} must be text, a number or true/false", where, node.key);
    settings.set(node.key, node.text, source, where);
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
