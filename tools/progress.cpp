#include "tools/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tools/say.h"

namespace expunge::tools {
namespace {

bool plain_terminal() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::strcmp(term, "dumb") == 0;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

Progress::Progress(const std::string& mode, int64_t total_steps, int64_t done_steps)
    : total_(total_steps), first_(done_steps) {
  if (mode == "bar")
    mode_ = Mode::bar;
  else if (mode == "lines")
    mode_ = Mode::lines;
  else if (mode == "json")
    mode_ = Mode::json;
  else if (mode == "none")
    mode_ = Mode::none;
  else
    mode_ = isatty(STDERR_FILENO) && !plain_terminal() ? Mode::bar : Mode::lines;
}

Progress::~Progress() {
  if (width_ > 0) say("\n");
}

void Progress::update(const State& state) {
  const auto now = Clock::now();
  const auto wait = mode_ == Mode::bar ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (mode_ == Mode::none || (now - shown_ < wait && state.step < total_)) return;
  shown_ = now;
  show(state);
}

void Progress::show(const State& s) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = static_cast<double>(s.images) / std::max(seconds, 1e-9);
  const double done = static_cast<double>(s.step - first_),
               left = static_cast<double>(total_ - s.step);
  const double eta = done > 0 ? seconds / done * left : 0;
  if (mode_ == Mode::json) {
    say("{{\"type\":\"progress\",\"epoch\":{},\"step\":{},\"steps\":{},\"loss\":{:.6g},"
        "{}\"images_per_s\":{:.1f},\"eta_s\":{:.1f}}}\n",
        s.epoch, s.step, total_, s.loss,
        s.accuracy < 0 ? "" : fmt::format("\"accuracy\":{:.6g},", s.accuracy), rate, eta);
    return;
  }
  std::string text = fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.4f}  {}{:.0f} img/s  ETA {}", s.epoch, s.epochs, s.step,
      total_, s.loss, s.accuracy < 0 ? "" : fmt::format("acc {:.1f}%  ", 100 * s.accuracy), rate,
      duration_text(eta));
  if (mode_ == Mode::lines) {
    say("{}\n", text);
    return;
  }
  const auto filled = static_cast<size_t>(20 * s.step / std::max<int64_t>(1, total_));
  text = "[" + std::string(filled, '=') + std::string(20 - filled, ' ') + "] " + text;
  const size_t width = text.size();
  if (width < width_) text.append(width_ - width, ' ');
  width_ = width;
  say("\r{}", text);
}

void Progress::message(const std::string& text) {
  if (mode_ == Mode::none || mode_ == Mode::json) return;
  if (width_ > 0) say("\r{}\r", std::string(width_, ' '));
  width_ = 0;
  say("{}\n", text);
}

}  // namespace expunge::tools
