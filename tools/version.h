#pragma once

#include <string>

namespace expunge::tools {

std::string version();       // "0.1.0"
std::string version_text();  // one line: version, compiler, build type

}  // namespace expunge::tools
