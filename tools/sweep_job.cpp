#include "tools/sweep_job.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "core/file.h"
#include "tools/run_folder.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxLog = uint64_t{1} << 26;
constexpr int kNumerical = static_cast<int>(ExitCode::numerical);
constexpr int kInterrupted = 130, kTerminated = 143;

}  // namespace

SweepJob::SweepJob(const SweepPlace& place, PlannedRun run) : place_(place), run_(std::move(run)) {
  std::error_code error;
  fs::create_directories(place_.out / "logs", error);
  if (error) fail(ExitCode::io, "{}: {}", (place_.out / "logs").string(), error.message());
  if (run_.verb.empty())
    start_comparison();
  else
    start_run();
}

fs::path SweepJob::log(const char* of) const {
  std::string name = run_.row.run;
  std::ranges::replace(name, '/', '-');
  return place_.out / "logs" / (name + of);
}

void SweepJob::start(std::vector<std::string> arguments, int64_t jobs) {
  arguments.insert(arguments.end(), {"--threads", std::to_string(place_.threads * jobs)});
  if (part_ != Part::run)
    for (const auto& [name, value] : place_.machine)
      arguments.insert(arguments.end(), {"--" + name, value});
  child_ = Child(std::move(arguments), log(".out"), log(".err"));
}

void SweepJob::start_run() {
  std::error_code error;
  part_ = Part::run;
  if (fs::exists(folder() / "run.json", error)) {
    if (read_run_json(folder()).status == "finished") return start_comparison();
    return start({run_.verb, "--resume", folder().string(), "--progress", "none"});
  }
  fs::create_directories(folder().parent_path(), error);
  std::vector<std::string> arguments = {run_.verb};
  if (!run_.from.empty())
    arguments.insert(arguments.end(), {"--from", (place_.out / run_.from).string()});
  for (const auto& [name, value] : run_.options) arguments.push_back("--" + name + "=" + value);
  arguments.insert(arguments.end(), {"--out", folder().string(), "--progress", "none"});
  start(std::move(arguments));
}

void SweepJob::start_comparison() {
  if (!run_.verb.empty()) {
    const RunStatus status = read_run_json(folder());
    run_.row.seconds = status.seconds, run_.row.numbers = status.measures;
  }
  part_ = Part::over;
  if (run_.against.empty()) return;
  part_ = Part::comparison;
  std::vector<std::string> arguments = {"compare", folder().string(), "--json", "--attacks",
                                        place_.attacks};
  for (const std::string& of : run_.against)
    arguments.insert(arguments.end(), {"--reference", (place_.out / of).string()});
  start(std::move(arguments));
}

void SweepJob::start_attack() {
  part_ = run_.shadows == 0 ? Part::over : place_.attacking ? Part::turn : Part::attack;
  if (part_ != Part::attack) return;
  place_.attacking = true;
  start({"eval", folder().string(), "--json", "--attacks", "ulira", "--shadows",
         std::to_string(run_.shadows), "--jobs", std::to_string(place_.jobs), "--progress", "none"},
        place_.jobs);
}

void SweepJob::stop() {
  child_.stop();
  stopped_ = stopped_ || part_ == Part::turn;
}

// Whether the part that is over did its work. Where not, the row says why.
bool SweepJob::ended_well() {
  const int code = child_.exit_code();
  stopped_ = code == kInterrupted || code == kTerminated;
  if (code == 0 || stopped_) return code == 0;
  if (code != kNumerical || part_ != Part::run)
    fail(static_cast<ExitCode>(code), "{}: exit code {}: {}", run_.row.run, code,
         last_words(log(".err")));
  run_.row.exit_code = code, run_.row.message = last_words(log(".err"));
  return false;
}

// Takes what the part that is over found out, and starts the next.
void SweepJob::go_on() {
  switch (part_) {
    case Part::run:
      return start_comparison();
    case Part::comparison:
      take_comparison(read_file(log(".out"), kMaxLog), folder(), run_.row);
      return start_attack();
    case Part::turn:
      return start_attack();
    case Part::attack:
      take_ulira(read_file(log(".out"), kMaxLog), folder(), run_.row);
      place_.attacking = false;
      part_ = Part::over;
      return;
    case Part::over:
      return;
  }
}

std::optional<SweepRow> SweepJob::poll() {
  if (child_.running() || stopped_) return {};
  if (part_ != Part::over && part_ != Part::turn && !ended_well())
    return stopped_ ? std::nullopt : std::optional(run_.row);
  go_on();
  if (part_ != Part::over) return {};
  std::error_code ignored;
  for (const char* of : {".out", ".err"}) fs::remove(log(of), ignored);
  return run_.row;
}

void SweepJob::take_away() const {
  if (place_.keep == Keep::all || run_.verb.empty() || run_.row.exit_code != 0) return;
  RunFolder::remove_states(folder());
  std::error_code ignored;
  if (place_.keep == Keep::rows && run_.verb == "unlearn")
    fs::remove_all(folder() / "checkpoints", ignored);
}

bool SweepJob::stopped() {
  return !child_.running() && stopped_;
}

}  // namespace expunge::tools
