#include "tools/trajectory.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/run_folder.h"

namespace expunge::tools {

std::vector<Waypoint> read_trajectory(const std::filesystem::path& run) {
  using Json = nlohmann::ordered_json;
  std::vector<Waypoint> points;
  for (const std::string& line : read_metrics(run)) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("forget_acc")) continue;
    const auto number = [&](const char* key) {
      return json.contains(key) && json[key].is_number() ? json[key].get<double>()
                                                         : eval::kNotMeasured;
    };
    const Waypoint point{.step = json.value("step", int64_t{0}),
                         .forget_acc = number("forget_acc"),
                         .retain_acc = number("retain_acc"),
                         .test_acc = number("test_acc"),
                         .auc = number("auc")};
    // the last step of an epoch may have been evaluated twice, as step and as epoch
    if (points.empty() || points.back().step < point.step) points.push_back(point);
  }
  return points;
}

std::optional<Waypoint> matched(std::span<const Waypoint> trajectory, double target) {
  const auto it = std::ranges::find_if(
      trajectory, [&](const Waypoint& point) { return point.forget_acc <= target; });
  return it == trajectory.end() ? std::nullopt : std::optional(*it);
}

}  // namespace expunge::tools
