#include "tools/version.h"

#include <fmt/core.h>

namespace expunge::tools {

std::string version() {
  return EXPUNGE_VERSION;
}

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return fmt::format("expunge {} ({}, {})", version(), compiler, EXPUNGE_BUILD_TYPE);
}

}  // namespace expunge::tools
