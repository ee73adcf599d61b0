#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tools/verbs.h"

namespace expunge::tools {

const std::string& single_argument(const Settings& settings, const char* what) {
  if (settings.arguments.size() != 1)
    fail(ExitCode::usage, "{}: expected one argument, {}, got {}", settings.typed_verb(), what,
         settings.arguments.size());
  return settings.arguments.front();
}

void print_out(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return;
  fail(ExitCode::io, "cannot write to standard output: {}", std::strerror(errno));
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace expunge::tools
