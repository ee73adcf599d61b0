#include "nn/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string_view>

#include "core/check.h"

namespace expunge::nn {
namespace {

template <class T>
T parse_number(std::string_view text, const std::string& whole) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    fail(ExitCode::usage, "schedule '{}': '{}' is not a number", whole, text);
  return value;
}

// Half a cosine wave from `from` (t = 0) to `to` (t = 1).
double cosine(double from, double to, double t) {
  return to + (from - to) * (1.0 + std::cos(std::numbers::pi * t)) / 2.0;
}

double one_cycle(double t) {
  constexpr double kStart = 1.0 / 25, kEnd = kStart / 1e4, kRise = 0.3;
  return t < kRise ? cosine(kStart, 1.0, t / kRise)
                   : cosine(1.0, kEnd, (t - kRise) / (1.0 - kRise));
}

}  // namespace

Schedule Schedule::parse(const std::string& text) {
  Schedule s;
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  if (name == "constant")
    s.kind = ScheduleKind::constant;
  else if (name == "cosine")
    s.kind = ScheduleKind::cosine;
  else if (name == "onecycle")
    s.kind = ScheduleKind::onecycle;
  else if (name == "step")
    s.kind = ScheduleKind::step;
  else
    fail(ExitCode::usage,
         "schedule '{}': expected constant, cosine, onecycle or step:E1,E2[,gamma=G]", text);
  if ((colon != std::string::npos) != (s.kind == ScheduleKind::step))
    fail(ExitCode::usage, "schedule '{}': epochs stand behind step alone, as in step:91,136", text);
  for (size_t begin = colon; begin != std::string::npos;) {
    const size_t end = text.find(',', begin + 1);
    const std::string_view item =
        std::string_view(text).substr(begin + 1, end == std::string::npos ? end : end - begin - 1);
    if (item.starts_with("gamma="))
      s.gamma = parse_number<float>(item.substr(6), text);
    else
      s.milestones.push_back(parse_number<int>(item, text));
    begin = end;
  }
  if (!(s.gamma > 0 && s.gamma <= 1))
    fail(ExitCode::usage, "schedule '{}': gamma is {}, expected more than 0, at most 1", text,
         s.gamma);
  if (!std::ranges::is_sorted(s.milestones) || (!s.milestones.empty() && s.milestones[0] < 1))
    fail(ExitCode::usage, "schedule '{}': the epochs must be positive and rise", text);
  return s;
}

double Schedule::factor(const Place& at) const {
  const double t =
      at.total_steps > 0 ? static_cast<double>(at.step) / static_cast<double>(at.total_steps) : 0.0;
  double f = 1.0;
  switch (kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::step:
      for (int epoch : milestones)
        if (at.epoch >= epoch) f *= double{gamma};
      break;
    case ScheduleKind::cosine:
      f = cosine(1.0, 0.0, t);
      break;
    case ScheduleKind::onecycle:
      f = one_cycle(t);
      break;
  }
  const double warmup = warmup_epochs * static_cast<double>(at.steps_per_epoch);
  return f * std::min(1.0, warmup > 0 ? static_cast<double>(at.step + 1) / warmup : 1.0);
}

}  // namespace expunge::nn
