#pragma once

#include "tools/options.h"

namespace expunge::tools {

// What the user typed, resolved: flag > environment > --config file > default. For --help and
// --version the text to print is in `answer` and there is nothing to run.
struct CommandLine {
  Settings settings;
  std::string answer;
};
CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace expunge::tools
