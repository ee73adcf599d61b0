#pragma once

#include <span>
#include <string>
#include <string_view>

namespace expunge {

// The known name with the smallest edit distance to `name`, or "" where none is close (more than
// half differs).
std::string nearest(std::string_view name, std::span<const std::string> known);

// "; did you mean 'sgd'?", or "; known: adam, adamw, sgd" where nothing is close.
std::string nearest_hint(std::string_view name, std::span<const std::string> known);

}  // namespace expunge
