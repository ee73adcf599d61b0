#include "tools/bench_table.h"

#include <cmath>

#include "core/check.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace {

using Cell = BenchTable::Cell;
constexpr int kMoreDigits = 3;  // that csv and json have and Markdown has not

bool applies(const Cell& cell) {
  const double* number = std::get_if<double>(&cell);
  return number == nullptr || std::isfinite(*number);
}

std::string number(const Cell& cell, int digits) {
  if (const auto* integer = std::get_if<int64_t>(&cell)) return fmt::format("{}", *integer);
  return fmt::format("{:.{}f}", std::get<double>(cell), digits);
}

std::string md_cell(const Cell& cell, int digits) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  return applies(cell) ? number(cell, digits) : "-";
}

std::string csv_cell(const Cell& cell, int digits) {
  const auto* text = std::get_if<std::string>(&cell);
  if (text == nullptr) return applies(cell) ? number(cell, digits + kMoreDigits) : "";
  if (text->find_first_of(",\"\n") == std::string::npos) return *text;
  std::string quoted = "\"";
  for (char c : *text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string json_cell(const Cell& cell, int digits) {
  if (const auto* text = std::get_if<std::string>(&cell)) return json_string(*text);
  return applies(cell) ? number(cell, digits + kMoreDigits) : "null";
}

std::string as_md(const BenchTable& t) {
  std::string text;
  for (const BenchTable::Fact& f : t.facts)
    text +=
        (text.empty() ? "" : ", ") + fmt::format(fmt::runtime(f.text), md_cell(f.value, f.digits));
  text += "\n\n|";
  for (const BenchTable::Column& c : t.columns) text += fmt::format(" {} |", c.title);
  text += "\n|";
  for (size_t i = 0; i < t.columns.size(); ++i)
    text += !t.rows.empty() && std::holds_alternative<std::string>(t.rows[0][i]) ? "---|" : "---:|";
  text += "\n";
  for (const auto& row : t.rows) {
    text += "|";
    for (size_t i = 0; i < row.size(); ++i)
      text += fmt::format(" {} |", md_cell(row[i], t.columns[i].digits));
    text += "\n";
  }
  for (const std::string& note : t.notes) text += "\n" + note + "\n";
  return text;
}

std::string as_csv(const BenchTable& t) {
  std::string facts, text;
  for (const BenchTable::Fact& f : t.facts) {
    text += fmt::format("{},", f.key);
    facts += csv_cell(f.value, f.digits) + ",";
  }
  for (const BenchTable::Column& c : t.columns)
    text += fmt::format("{}{}", c.key, &c == &t.columns.back() ? "\n" : ",");
  for (const auto& row : t.rows) {
    text += facts;
    for (size_t i = 0; i < row.size(); ++i)
      text += csv_cell(row[i], t.columns[i].digits) + (i + 1 == row.size() ? "\n" : ",");
  }
  return text;
}

std::string as_json(const BenchTable& t) {
  std::string text =
      fmt::format("{{\"schema\":\"expunge.bench/2\",\"name\":{}", json_string(t.name));
  for (const BenchTable::Fact& f : t.facts)
    text += fmt::format(",{}:{}", json_string(f.key), json_cell(f.value, f.digits));
  text += ",\"rows\":[";
  for (const auto& row : t.rows) {
    text += &row == &t.rows.front() ? "{" : ",{";
    for (size_t i = 0; i < row.size(); ++i)
      text += fmt::format("{}{}:{}", i == 0 ? "" : ",", json_string(t.columns[i].key),
                          json_cell(row[i], t.columns[i].digits));
    text += "}";
  }
  return text + "]}\n";
}

}  // namespace

std::string BenchTable::as(std::string_view format) const {
  for (const auto& row : rows)
    EXPUNGE_CHECK(row.size() == columns.size(), "bench {}: {} cells in {} columns", name,
                  row.size(), columns.size());
  return format == "csv" ? as_csv(*this) : format == "json" ? as_json(*this) : as_md(*this);
}

}  // namespace expunge::tools
