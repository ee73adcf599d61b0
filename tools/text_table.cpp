#include "tools/text_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace expunge::tools {

std::string aligned(const TextRows& rows) {
  const auto width_of = [](const std::string& text) {  // in characters of UTF-8
    return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
  };
  std::vector<std::ptrdiff_t> width(rows.front().size());
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], width_of(row[c]));
  std::string text;
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string gap(static_cast<size_t>(width[c] - width_of(row[c])), ' ');
      text += c == 0 ? row[c] + gap : "  " + gap + row[c];
    }
    text += "\n";
  }
  return text;
}

std::string markdown(const TextRows& rows) {
  std::string text;
  for (const auto& row : rows) {
    for (const std::string& cell : row) text += "| " + cell + " ";
    text += "|\n";
    if (&row != &rows.front()) continue;
    for (size_t c = 0; c < row.size(); ++c) text += "|---";
    text += "|\n";
  }
  return text;
}

std::string mean_and_sd(const eval::Spread& s, int digits) {
  if (std::isnan(s.mean)) return "-";
  return std::isnan(s.sd) ? fmt::format("{:.{}f}", s.mean, digits)
                          : fmt::format("{:.{}f} ±{:.{}f}", s.mean, digits, s.sd, digits);
}

std::string json_number(double x) {
  return std::isfinite(x) ? fmt::format("{:.8g}", x) : "null";
}

}  // namespace expunge::tools
