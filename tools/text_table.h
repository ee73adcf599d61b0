#pragma once

#include <string>
#include <vector>

#include "eval/spread.h"

// Tables of numbers for people, on a terminal and in Markdown.
namespace expunge::tools {

using TextRows = std::vector<std::vector<std::string>>;  // all as long as the first, the heads

// Left-aligned first column, right-aligned others, each as wide as its widest cell.
std::string aligned(const TextRows& rows);
std::string markdown(const TextRows& rows);

// "74.00 ±0.50"; one value without its sd; "-" where nothing was measured.
std::string mean_and_sd(const eval::Spread& spread, int digits);
std::string json_number(double x);  // null where it is not finite

}  // namespace expunge::tools
