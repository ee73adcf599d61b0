#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace expunge::tools {

// What stderr shows while a run goes on: a bar on a terminal, otherwise a line every ten seconds,
// or JSON lines.
class Progress {
 public:
  Progress(const std::string& mode, int64_t total_steps, int64_t done_steps);
  ~Progress();

  struct State {
    int epoch, epochs;
    int64_t step;
    double loss, accuracy;  // accuracy < 0: not known
    int64_t images;         // since the start of this process
  };
  void update(const State& state);
  void message(const std::string& text);  // a line of its own

 private:
  enum class Mode : unsigned char { bar, lines, json, none };
  void show(const State& state);
  using Clock = std::chrono::steady_clock;
  Mode mode_;
  int64_t total_, first_;
  Clock::time_point start_ = Clock::now(), shown_{};
  size_t width_ = 0;  // of the bar on screen
};

std::string duration_text(double seconds);  // "48s", "3m05s", "2h07m"

}  // namespace expunge::tools
