#include "tools/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "tools/machine.h"
#include "tools/version.h"

namespace expunge::tools {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kSchema = "expunge.run/1";
constexpr uint64_t kMaxMetrics = uint64_t{4} << 30, kMaxJson = uint64_t{16} << 20;

[[noreturn]] void io_failure(const fs::path& path, const char* what) {
  fail(ExitCode::io, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail(ExitCode::io, "{}: cannot rename: {}", from.string(), error.message());
}

std::vector<std::string> complete_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  return lines;
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::move(other.lock_)),
      metrics_(std::exchange(other.metrics_, -1)) {}

RunFolder::~RunFolder() {
  if (metrics_ >= 0) ::close(metrics_);
}

void RunFolder::lock() {
  lock_ = FileLock(path_, "this run");
  remove_litter();
}

// Temporary files of a process that was killed while it wrote; nobody else writes here now.
void RunFolder::remove_litter() const {
  std::error_code ignored;
  for (const fs::path& folder : {path_, path_ / "checkpoints"}) {
    std::vector<fs::path> litter;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') && name.ends_with(".tmp")) litter.push_back(entry.path());
    }
    for (const fs::path& file : litter) fs::remove(file, ignored);
  }
}

RunFolder RunFolder::create(const fs::path& path) {
  std::error_code error;
  const bool is_free = !fs::exists(path, error) ||
                       (fs::is_directory(path, error) && fs::is_empty(path, error)) ||
                       (fs::exists(path / "lock", error) && !fs::exists(path / "run.json", error));
  if (!is_free)
    fail(ExitCode::io,
         "{}: exists already; --resume {} goes on with a run, --out names another folder",
         path.string(), path.string());
  // The lock comes before anything else in the folder: by it a run that ended early is known.
  fs::create_directories(path, error);
  if (error) fail(ExitCode::io, "{}: cannot make the folder: {}", path.string(), error.message());
  RunFolder run(path);
  run.lock();
  fs::create_directory(path / "checkpoints", error);
  if (error) fail(ExitCode::io, "{}: cannot make the folder: {}", path.string(), error.message());
  return run;
}

RunFolder RunFolder::open(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path / "run.json", error))
    fail(ExitCode::input, "{}: holds no run.json, so it is not a run", path.string());
  RunFolder run(path);
  run.lock();
  return run;
}

void RunFolder::keep_state() const {
  if (fs::exists(state())) move_file(state(), previous_state());
}

void RunFolder::take_back_state() const {
  move_file(previous_state(), state());
}

void RunFolder::remove_states(const fs::path& path) {
  const RunFolder run(path);
  std::error_code ignored;
  for (const fs::path& state : {run.state(), run.previous_state()}) fs::remove(state, ignored);
}

void RunFolder::append_metrics(const std::string& line) {
  const fs::path file = path_ / "metrics.jsonl";
  if (metrics_ < 0)
    metrics_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (metrics_ < 0) io_failure(file, "open");
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(metrics_, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) io_failure(file, "write");
    done += static_cast<size_t>(n);
  }
}

void RunFolder::cut_metrics(int64_t step) {
  const fs::path file = path_ / "metrics.jsonl";
  std::error_code error;
  if (!fs::exists(file, error)) return;
  std::string kept;
  for (const std::string& line : read_metrics(path_)) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  write_atomic(file, kept);
}

void RunFolder::write_metrics_csv() const {
  const std::vector<std::string> lines = read_metrics(path_);
  if (lines.empty()) return;
  std::vector<std::string> columns;
  std::string rows;
  for (const std::string& line : lines) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || json.value("type", "") != "epoch") continue;
    if (columns.empty())
      for (const auto& [key, value] : json.items())
        if (key != "type") columns.push_back(key);
    std::string row;
    for (const std::string& column : columns) {
      if (!row.empty()) row += ",";
      if (json.contains(column) && !json[column].is_null()) row += json[column].dump();
    }
    rows += row + "\n";
  }
  std::string head;
  for (const std::string& column : columns) head += (head.empty() ? "" : ",") + column;
  write_atomic(path_ / "metrics.csv", head + "\n" + rows);
}

std::vector<std::string> read_metrics(const fs::path& folder) {
  const fs::path file = folder / "metrics.jsonl";
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  return complete_lines(read_file(file, kMaxMetrics));
}

void require_space(const fs::path& path, uint64_t needed) {
  std::error_code error;
  fs::path existing = fs::absolute(path, error);
  while (!fs::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (!error && space.available < needed)
    fail(ExitCode::io, "{}: the disk has {:.1f} MB left, this run needs {:.1f} MB", path.string(),
         static_cast<double>(space.available) / 1e6, static_cast<double>(needed) / 1e6);
}

std::string run_json_text(const RunStatus& s) {
  Json json = {{"schema", kSchema},
               {"verb", s.verb},
               {"status", s.status},
               {"version", version()},
               {"model", s.model},
               {"parameters", s.parameters},
               {"data", s.data},
               {"data_digest", s.data_digest},
               {"train_samples", s.train_samples},
               {"forgotten", s.forgotten},
               {"epochs", s.epochs},
               {"steps", s.steps},
               {"seconds", s.seconds},
               {"work_seconds", s.work_seconds}};
  for (const auto& [key, value] : s.facts) json[key] = value;
  if (!s.measures.empty()) json["measures"] = s.measures;
  const auto measured = [](double value) { return value < 0 ? Json(nullptr) : Json(value); };
  json["best_val_accuracy"] = measured(s.best_accuracy);
  json["test_accuracy"] = measured(s.test_accuracy);
  json["test_loss"] = measured(s.test_loss);
  json["host"] = {{"threads", thread_count()},
                  {"device", compute_stream().device == Device::cuda ? "cuda" : "cpu"},
                  {"computed_with", computed_with()},
                  {"build", version_text()}};
  if (!s.message.empty()) json["message"] = s.message;
  if (s.status == "interrupted") json["resumable"] = true;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_run_json(const fs::path& folder, const RunStatus& status) {
  write_atomic(folder / "run.json", run_json_text(status));
}

RunStatus read_run_json(const fs::path& folder) {
  const fs::path file = folder / "run.json";
  const Json json = Json::parse(read_file(file, kMaxJson), nullptr, false);
  if (!json.is_object() || json.value("schema", "") != kSchema)
    fail(ExitCode::input, "{}: is not a run description of the form {}", file.string(), kSchema);
  RunStatus s;
  s.verb = json.value("verb", "train");
  s.status = json.value("status", "");
  s.model = json.value("model", "");
  s.data = json.value("data", "");
  s.data_digest = json.value("data_digest", "");
  s.parameters = json.value("parameters", int64_t{0});
  s.train_samples = json.value("train_samples", int64_t{0});
  s.forgotten = json.value("forgotten", int64_t{0});
  if (json.contains("host") && json["host"].is_object())
    s.device = json["host"].value("device", "");
  s.steps = json.value("steps", int64_t{0});
  s.seconds = json.value("seconds", 0.0);
  s.work_seconds = json.value("work_seconds", 0.0);
  for (const char* key : {"method", "gate", "estimator", "from", "from_digest"})
    if (json.contains(key) && json[key].is_string()) s.facts[key] = json[key];
  if (json.contains("measures") && json["measures"].is_object())
    for (const auto& [key, value] : json["measures"].items())
      if (value.is_number()) s.measures[key] = value;
  return s;
}

}  // namespace expunge::tools
