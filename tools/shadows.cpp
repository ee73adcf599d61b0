#include "tools/shadows.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <list>
#include <thread>

#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/sha256.h"
#include "kernels/precision.h"
#include "nn/model_file.h"
#include "tools/file_lock.h"
#include "tools/measure.h"
#include "tools/model_card.h"
#include "tools/say.h"
#include "tools/shadow_job.h"
#include "tools/signals.h"
#include "tools/version.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxMargins = uint64_t{1} << 30;
constexpr const char* kMargins = "margins.txt";

void pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// Both runs of those that are not finished; what is there is checked.
std::vector<const Shadow*> missing(const ShadowPlan& plan) {
  std::vector<const Shadow*> shadows;
  for (const Shadow& shadow : plan.shadows) {
    const bool original = is_finished(shadow.original, plan.data_digest),
               unlearned = is_finished(shadow.unlearned, plan.data_digest);
    if (!original || !unlearned) shadows.push_back(&shadow);
  }
  return shadows;
}

// Runs several jobs side by side until nothing is left or a signal comes.
class Workshop {
 public:
  Workshop(const ShadowPlan& plan, std::vector<const Shadow*> todo, const ShadowConfig& config)
      : plan_(plan), todo_(std::move(todo)), config_(config) {}

  bool run() {
    while (!stop_requested()) {
      while (std::ssize(jobs_) < config_.jobs && begun_ < std::ssize(todo_))
        jobs_.emplace_back(*todo_[static_cast<size_t>(begun_++)], plan_.data_digest, threads());
      if (jobs_.empty()) return true;
      poll();
      pause();
    }
    for (ShadowJob& job : jobs_) job.stop();
    while (std::ranges::any_of(jobs_, [](ShadowJob& job) { return job.running(); })) pause();
    return false;
  }

 private:
  int threads() const {
    return static_cast<int>(std::max<int64_t>(1, thread_count() / config_.jobs));
  }
  void poll() {
    for (auto job = jobs_.begin(); job != jobs_.end() && !stop_requested();) {
      const bool over = job->poll();
      if (over) tell(job->shadow());
      job = over ? jobs_.erase(job) : std::next(job);
    }
  }
  void tell(const Shadow& shadow) {
    ++finished_;
    if (config_.silent) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    const int64_t left = std::ssize(todo_) - finished_, all = std::ssize(plan_.shadows);
    say("[{}/{}] shadow {}  forget {:.2f}%  ({:.0f} min left)\n", all - left, all, shadow.name,
        100 * read_run_json(shadow.unlearned.folder).measures["forget_acc"],
        seconds / static_cast<double>(finished_) * static_cast<double>(left) / 60);
  }

  const ShadowPlan& plan_;
  const std::vector<const Shadow*> todo_;
  const ShadowConfig config_;
  std::list<ShadowJob> jobs_;
  int64_t begun_ = 0, finished_ = 0;
  const Clock::time_point begin_ = Clock::now();
};

// A hash of what margins depend on.
std::string margin_key(const Experiment& e, const fs::path& weights) {
  Sha256 hash;
  for (const std::string& text : {version_text(), sha256_of_file(weights), e.data.digest})
    hash.update(text.data(), text.size() + 1);
  hash.update(e.forgotten.data(), e.forgotten.size() * sizeof(int32_t));
  const std::string precision = std::to_string(static_cast<int>(kernels::precision()));
  hash.update(precision.data(), precision.size());
  return to_hex(hash.digest());
}

// The key, then a margin a line; nothing where the file is another's or none.
std::vector<double> read_margins(const fs::path& file, const std::string& key, size_t count) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  const std::string text = read_file(file, kMaxMargins);
  if (!text.starts_with(key + "\n")) return {};
  std::vector<double> margins;
  for (const char *at = text.data() + key.size() + 1, *end = text.data() + text.size(); at < end;
       ++at) {
    double value = 0;
    const auto [next, fault] = std::from_chars(at, end, value);
    if (fault != std::errc() || next == end || *next != '\n') return {};
    margins.push_back(value);
    at = next;
  }
  return margins.size() == count ? margins : std::vector<double>();
}

std::vector<double> margins_of(const Experiment& e, const fs::path& run, const fs::path& weights,
                               nn::Model& model) {
  const std::string key = margin_key(e, weights);
  std::vector<double> margins = read_margins(run / kMargins, key, e.forgotten.size());
  if (!margins.empty()) return margins;
  nn::load_model(weights, model);
  margins = outputs_of(e, model, e.forgotten).margins;
  if (stop_requested()) return margins;
  std::string text = key + "\n";
  for (const double margin : margins) text += fmt::format("{}\n", margin);  // all digits
  try {
    write_atomic(run / kMargins, text);
  } catch (const Error&) {  // a place to keep them, no more
  }
  return margins;
}

}  // namespace

bool make_shadows(const ShadowPlan& plan, const Experiment& e, const ShadowConfig& config) {
  if (missing(plan).empty()) return true;
  std::vector<FileLock> locks;
  for (const fs::path& folder : {plan.originals, plan.unlearned}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(ExitCode::io, "{}: {}", folder.string(), error.message());
    locks.emplace_back(folder, "these shadows");
  }
  const std::vector<const Shadow*> todo = missing(plan);
  // last and best of both runs
  require_space(plan.originals, todo.size() * 4 * sizeof(float) *
                                    static_cast<uint64_t>(e.model.params.values().size()));
  return Workshop(plan, todo, config).run();
}

MarginsOfShadows margins_of_shadows(const ShadowPlan& plan, const Experiment& e) {
  MarginsOfShadows all;
  nn::Model model = nn::make_model(e.model.name, e.model.spec);
  for (const Shadow& shadow : plan.shadows) {
    const fs::path original = shadow.original.folder, unlearned = shadow.unlearned.folder;
    const std::string& which = shadow.unlearned.settings.text("checkpoint");
    std::ranges::copy(margins_of(e, original, original_weights(original, which), model),
                      std::back_inserter(all.original));
    std::ranges::copy(margins_of(e, unlearned, weights_of(unlearned, "last"), model),
                      std::back_inserter(all.unlearned));
    if (stop_requested()) break;
  }
  return all;
}

}  // namespace expunge::tools
