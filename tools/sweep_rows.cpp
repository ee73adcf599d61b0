#include "tools/sweep_rows.h"

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/file.h"

namespace expunge::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxRows = uint64_t{1} << 28;
constexpr const char* kSchema = "expunge.row/1";

double number_in(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : eval::kNotMeasured;
}

std::map<std::string, double> numbers_in(const Json& json) {
  std::map<std::string, double> numbers;
  for (const auto& [key, value] : json.items())
    if (value.is_number()) numbers[key] = value.get<double>();
  return numbers;
}

std::vector<Waypoint> trajectory_in(const Json& json) {
  std::vector<Waypoint> points;
  for (const Json& p : json)
    points.push_back({.step = p.value("step", int64_t{0}),
                      .forget_acc = number_in(p, "forget_acc"),
                      .retain_acc = number_in(p, "retain_acc"),
                      .test_acc = number_in(p, "test_acc"),
                      .auc = number_in(p, "auc")});
  return points;
}

Json json_of(const std::vector<Waypoint>& trajectory) {
  Json points = Json::array();
  for (const Waypoint& w : trajectory) {
    Json point = {{"step", w.step}};
    for (const auto& [key, value] : {std::pair("forget_acc", w.forget_acc),
                                     {"retain_acc", w.retain_acc},
                                     {"test_acc", w.test_acc},
                                     {"auc", w.auc}})
      if (!std::isnan(value)) point[key] = value;
    points.push_back(std::move(point));
  }
  return points;
}

SweepRow row_of(const Json& json) {
  return {.run = json.at("run"),
          .group = json.at("group"),
          .arguments = json.at("arguments"),
          .labels = json.at("labels"),
          .seed = json.at("seed"),
          .exit_code = json.at("exit_code"),
          .message = json.at("message"),
          .seconds = json.at("seconds"),
          .numbers = numbers_in(json.at("numbers")),
          .retrained = numbers_in(json.at("retrained")),
          .trajectory = trajectory_in(json.at("trajectory"))};
}

}  // namespace

double SweepRow::number(const std::string& name) const {
  const auto it = numbers.find(name);
  return it == numbers.end() ? eval::kNotMeasured : it->second;
}

std::vector<SweepRow> read_rows(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  const std::string text = read_file(file, kMaxRows);
  std::vector<SweepRow> rows;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    try {
      rows.push_back(row_of(Json::parse(text.substr(begin, end - begin))));
    } catch (const Json::exception&) {
      fail(ExitCode::input, "{}: line {} is not a row of a sweep", file.string(), rows.size() + 1);
    }
  }
  return rows;
}

std::string row_json(const SweepRow& row) {
  return Json{{"schema", kSchema},          {"run", row.run},
              {"group", row.group},         {"arguments", row.arguments},
              {"labels", row.labels},       {"seed", row.seed},
              {"exit_code", row.exit_code}, {"message", row.message},
              {"seconds", row.seconds},     {"numbers", row.numbers},
              {"retrained", row.retrained}, {"trajectory", json_of(row.trajectory)}}
      .dump();
}

// What a crash left of a line goes first.
void append_row(const std::filesystem::path& file, const SweepRow& row) {
  std::error_code error;
  std::string rows;
  if (std::filesystem::exists(file, error)) rows = read_file(file, kMaxRows);
  rows.resize(rows.rfind('\n') + 1);  // npos + 1 is 0
  write_atomic(file, rows + row_json(row) + "\n");
}

void take_comparison(const std::string& text, const std::filesystem::path& run, SweepRow& row) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("schema", "") != "expunge.compare/1")
    fail(ExitCode::internal, "{}: what compare printed cannot be read", run.string());
  std::map<std::string, std::vector<double>> retrained;
  for (const Json& one : json.at("runs")) {
    const bool itself = one.value("run", "") == run.string();
    if (itself) {
      row.numbers = numbers_in(one.at("numbers"));
      if (one.contains("trajectory")) row.trajectory = trajectory_in(one["trajectory"]);
    } else if (one.value("label", "") == "retrained") {
      for (const auto& [name, value] : numbers_in(one.at("numbers")))
        retrained[name].push_back(value);
    }
  }
  for (const auto& [name, values] : retrained) row.retrained[name] = eval::spread_of(values).mean;
}

void take_ulira(const std::string& text, const std::filesystem::path& run, SweepRow& row) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("ulira"))
    fail(ExitCode::internal, "{}: what eval printed cannot be read", run.string());
  const Json &after = json["ulira"]["unlearned"], &before = json["ulira"]["original"];
  row.numbers["ulira_auc"] = after["auc"]["value"];
  row.numbers["ulira_auc_low"] = after["auc"]["low"];
  row.numbers["ulira_auc_high"] = after["auc"]["high"];
  row.numbers["ulira_tpr_at_1"] = after["tpr_at_1"]["value"];
  row.numbers["ulira_accuracy"] = after["accuracy"]["value"];
  row.numbers["ulira_auc_before"] = before["auc"]["value"];
}

}  // namespace expunge::tools
