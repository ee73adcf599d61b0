#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "eval/spread.h"

namespace expunge::tools {

// What an evaluation on the way of an unlearning run found (tools/forgetting.h): on all of F, on
// some of R and of the test part. auc: F against those test samples, by loss.
struct Waypoint {
  int64_t step = 0;
  double forget_acc = eval::kNotMeasured, retain_acc = eval::kNotMeasured;
  double test_acc = eval::kNotMeasured, auc = eval::kNotMeasured;
};

// From a run's metrics.jsonl, by step; of a run without evaluations of F: none.
std::vector<Waypoint> read_trajectory(const std::filesystem::path& run);

// The first with a forget accuracy of at most `target`, so that runs are compared where they have
// unlearned alike. None: the run never came there, it is censored.
std::optional<Waypoint> matched(std::span<const Waypoint> trajectory, double target);

}  // namespace expunge::tools
