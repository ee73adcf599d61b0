#include "kernels/conv_plan_book_cudnn.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <sstream>
#include <utility>

#include "core/check.h"
#include "core/file.h"

namespace expunge::kernels::cudnn {
namespace {

constexpr uint64_t kMaxFile = uint64_t{1} << 24;

// While it lives no other process measures and writes this file: what they do side by side on one
// GPU would be measured with it, and the last to write would drop what the others found.
class Turn {
 public:
  explicit Turn(const std::filesystem::path& file) {
    if (file.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(file.parent_path(), error);
    fd_ = ::open((file.string() + ".lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Turn() {
    if (fd_ >= 0) ::close(fd_);
  }
  Turn(const Turn&) = delete;

 private:
  int fd_ = -1;  // none: it goes on without
};

}  // namespace

ConvPlanBook::ConvPlanBook(Descriptor device, std::string device_name, std::filesystem::path file,
                           Timer timer, const PlanLimits& limits)
    : device_(std::move(device)),
      title_(fmt::format("expunge-conv-plans-3 {} {}", cudnnGetVersion(), device_name)),
      file_(std::move(file)),
      timer_(std::move(timer)),
      limits_(limits) {
  read();
}

void ConvPlanBook::read() {
  std::error_code error;
  if (file_.empty() || !std::filesystem::exists(file_, error)) return;
  std::istringstream lines;
  try {
    lines.str(read_file(file_, kMaxFile));
  } catch (const Error&) {
    return;
  }
  std::string line;
  if (!std::getline(lines, line) || line != title_) return;
  while (std::getline(lines, line)) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    if (std::optional<ConvEngine> engine = ConvEngine::parse(line.substr(tab + 1)))
      known_.try_emplace(line.substr(0, tab), std::move(*engine));
  }
}

void ConvPlanBook::write() const {
  if (file_.empty()) return;
  std::string text = title_ + "\n";
  for (const auto& [problem, engine] : known_)
    text += fmt::format("{}\t{}\n", problem, engine.str());
  try {
    write_atomic(file_, text);
  } catch (const Error&) {
  }
}

// Those that come out best of a round go into the next; a plan that is alone is not measured.
ConvPlanBook::Choice ConvPlanBook::fastest(const ConvProblem& problem,
                                           const std::vector<ConvPlan>& plans) const {
  struct Round {
    int runs;
    size_t kept;
  };
  Plans left;
  bool all_had_room = true;
  for (const ConvPlan& plan : plans) left.push_back(&plan);
  for (const auto [runs, kept] : {Round{2, 6}, Round{10, 1}}) {
    if (left.size() <= kept) continue;
    std::vector<double> ms = timer_(problem, left, runs);
    all_had_room = all_had_room && std::ranges::count(ms, kNoRoom) == 0;
    std::ranges::replace(ms, kNoRoom, HUGE_VAL);
    std::vector<size_t> order(left.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, {}, [&](size_t i) { return ms[i]; });
    if (!std::isfinite(ms[order[0]]))
      fail(all_had_room ? ExitCode::device : ExitCode::memory,
           "none of {} plans for the convolution {} runs {}", plans.size(), problem.str(),
           all_had_room ? "on this device" : "in the memory that the GPU has left");
    Plans best;
    for (size_t i = 0; i < kept; ++i) best.push_back(left[order[i]]);
    left = std::move(best);
  }
  return {static_cast<size_t>(left.front() - plans.data()), all_had_room};
}

std::optional<ConvPlan> ConvPlanBook::known(const ConvProblem& problem) const {
  const auto it = known_.find(problem.str());
  return it == known_.end() ? std::nullopt : conv_plan(problem, device_, it->second, limits_);
}

ConvPlan ConvPlanBook::find(const ConvProblem& problem) {
  if (std::optional<ConvPlan> plan = known(problem)) return std::move(*plan);
  const Turn turn(file_);
  read();  // another process may have measured it meanwhile
  if (std::optional<ConvPlan> plan = known(problem)) return std::move(*plan);
  const std::string key = problem.str();
  std::vector<ConvPlan> plans = conv_plans(problem, device_, limits_);
  if (plans.empty()) fail(ExitCode::device, "there is no plan for the convolution {}", key);
  const Choice choice = fastest(problem, plans);
  ConvPlan& best = plans[choice.plan];
  ++measured_;
  if (choice.is_final) {
    known_.insert_or_assign(key, best.engine());
    write();
  }
  return std::move(best);
}

const ConvPlan& ConvPlanBook::at(const ConvProblem& problem) {
  const std::string key = problem.str();
  auto it = plans_.find(key);
  if (it == plans_.end()) it = plans_.emplace(key, find(problem)).first;
  return it->second;
}

std::filesystem::path conv_plan_file() {
  const auto variable = [](const char* name) {
    const char* text = std::getenv(name);
    return std::filesystem::path(text != nullptr ? text : "");
  };
  std::filesystem::path folder = variable("XDG_CACHE_HOME");
  if (folder.empty() && !variable("HOME").empty()) folder = variable("HOME") / ".cache";
  return folder.empty() ? folder : folder / "expunge" / "conv-plans.txt";
}

}  // namespace expunge::kernels::cudnn
