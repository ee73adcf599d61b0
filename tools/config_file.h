#pragma once

#include <filesystem>

#include "tools/options.h"

namespace expunge::tools {

// Options from a TOML file: flat keys, named as the flags. Unknown key, wrong type, syntax error, a
// file over 1 MiB: ExitCode::usage with the line. Keys in `left_out` are passed over (a run's own,
// when another run is like it).
void read_config(const std::filesystem::path& path, Source source, Settings& settings,
                 std::span<const std::string> left_out = {});

// The same from a text that is at hand; `name` stands for it in messages.
void read_config_text(std::string_view toml, const std::string& name, Source source,
                      Settings& settings, std::span<const std::string> left_out = {});

// The resolved options, atomically; a relative path to data is made absolute, so that the run stays
// valid when it is used from elsewhere.
void write_config(const std::filesystem::path& path, const Settings& settings);

}  // namespace expunge::tools
