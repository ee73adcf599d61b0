#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <utility>

namespace expunge::tools {

// Words for whoever watches, on stderr. Nobody needs to be there: what cannot be written is
// dropped, for work must not end because its messages are not read.
template <class... Ts>
void say(fmt::format_string<Ts...> text, Ts&&... values) {
  const std::string words = fmt::format(text, std::forward<Ts>(values)...);
  if (std::fwrite(words.data(), 1, words.size(), stderr) == words.size()) std::fflush(stderr);
}

}  // namespace expunge::tools
