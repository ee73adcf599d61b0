#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace expunge::tools {

// What a benchmark prints: facts that hold for all of it, and a table. One document as json
// ({"schema":"expunge.bench/2","name":...,facts,"rows":[{...}]}), lines as csv with the facts
// repeated in front, or a Markdown table under a line of the facts.
struct BenchTable {
  using Cell = std::variant<std::string, int64_t, double>;  // a NaN: does not apply
  struct Fact {
    const char* key;
    Cell value;
    int digits;
    const char* text;  // in Markdown: "{} threads"
  };
  struct Column {
    const char* key;    // csv, json
    const char* title;  // Markdown
    int digits;         // behind the point, in Markdown
  };
  std::string name;
  std::vector<Fact> facts;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::vector<std::string> notes;  // Markdown: lines under the table

  std::string as(std::string_view format) const;  // md, csv, json
};

}  // namespace expunge::tools
