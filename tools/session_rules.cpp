#include <charconv>

#include "core/check.h"
#include "tools/session.h"

namespace expunge::tools {

CheckpointRule CheckpointRule::parse(const std::string& text) {
  if (text == "epoch") return {.epochs = Epochs::all};
  if (text == "auto") return {.epochs = Epochs::affordable};
  const bool timed = text.ends_with("s");
  int64_t n = 0;
  const char* end = text.data() + text.size() - (timed ? 1 : 0);
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  if (error != std::errc() || stop != end || n < 1)
    fail(ExitCode::usage,
         "--checkpoint-every is '{}', expected auto, epoch, a number of steps, or seconds as 60s",
         text);
  return timed ? CheckpointRule{.seconds = static_cast<double>(n)} : CheckpointRule{.steps = n};
}

EvaluationRule EvaluationRule::parse(const std::string& text) {
  const bool steps = text.ends_with("step");
  int64_t n = 0;
  const char* end = text.data() + text.size() - (steps ? 4 : 0);
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  if (error != std::errc() || stop != end || n < 1)
    fail(ExitCode::usage, "--eval-every is '{}', expected a number of epochs, or steps as 10step",
         text);
  return steps ? EvaluationRule{.steps = n} : EvaluationRule{.epochs = n};
}

}  // namespace expunge::tools
