#include "core/nearest.h"

#include <algorithm>
#include <vector>

namespace expunge {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view name, std::span<const std::string> known) {
  std::string best;
  size_t distance = name.size() / 2 + 1;
  for (const std::string& candidate : known) {
    const size_t d = edit_distance(name, candidate);
    if (d < distance) best = candidate, distance = d;
  }
  return best;
}

std::string nearest_hint(std::string_view name, std::span<const std::string> known) {
  const std::string close = nearest(name, known);
  if (!close.empty()) return "; did you mean '" + close + "'?";
  std::string list = "; known:";
  for (const std::string& k : known) list += (list.back() == ':' ? " " : ", ") + k;
  return list;
}

}  // namespace expunge
