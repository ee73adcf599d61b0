#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace expunge::nn {

enum class ScheduleKind : unsigned char { constant, step, cosine, onecycle };

// Learning rate as a function of the step: lr * factor(step).
//   constant   1
//   step       gamma^k, k = milestones (epochs) passed
//   cosine     (1 + cos(pi t)) / 2, t = step / total
//   onecycle   Smith & Topin 2018, cosine form: from 1/25 up to 1 over the first 30 %, down to
//   1e-4/25
// `warmup_epochs` > 0 multiplies by (step + 1) / (warm-up steps) until the warm-up is over.
struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  std::vector<int> milestones;
  float gamma = 0.1f;
  double warmup_epochs = 0;

  // "constant", "step:91,136", "step:91,136,gamma=0.2", "cosine", "onecycle". Otherwise
  // ExitCode::usage.
  static Schedule parse(const std::string& text);

  // Where a step stands; an epoch need not have steps_per_epoch steps.
  struct Place {
    int64_t step, epoch, steps_per_epoch, total_steps;
  };
  double factor(const Place& at) const;
};

}  // namespace expunge::nn
