#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tools/file_lock.h"

namespace expunge::tools {

// A run's folder: run.json, config.toml, forget.ids, metrics.jsonl and .csv, checkpoints/. Every
// file is replaced atomically but metrics.jsonl, which grows by whole lines. A lock keeps a second
// process out.
class RunFolder {
 public:
  // A new run. A folder that exists and holds anything: ExitCode::io; what a run left that ended
  // before its first checkpoint, a lock and no run.json, does not count.
  static RunFolder create(const std::filesystem::path& path);
  // An existing one, to go on with. No run there: ExitCode::input. Locked by another process:
  // ExitCode::io.
  static RunFolder open(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path model(const std::string& which) const {
    return path_ / "checkpoints" / (which + ".safetensors");
  }
  std::filesystem::path state() const { return path_ / "checkpoints" / "last.state.safetensors"; }
  std::filesystem::path previous_state() const {
    return path_ / "checkpoints" / "previous.state.safetensors";
  }
  // Makes the last state the previous one, before another is written: a run survives one damaged
  // state.
  void keep_state() const;
  // Makes the previous state the last one again.
  void take_back_state() const;
  // Of a finished run: its states, which nothing goes on from.
  static void remove_states(const std::filesystem::path& path);

  // Appends one line to metrics.jsonl, a JSON object.
  void append_metrics(const std::string& line);
  // Drops the lines of later steps than the checkpoint that a run goes on from, and a line cut off
  // by a crash.
  void cut_metrics(int64_t step);
  // metrics.csv: the epoch lines, a column a key.
  void write_metrics_csv() const;

 private:
  explicit RunFolder(std::filesystem::path path);
  void lock();
  void remove_litter() const;
  std::filesystem::path path_;
  FileLock lock_;
  int metrics_ = -1;
};

// The complete lines of a run's metrics.jsonl; of a run without: none.
std::vector<std::string> read_metrics(const std::filesystem::path& folder);

// Where the disk of `path`, which need not exist yet, has fewer bytes left than `needed`:
// ExitCode::io says both.
void require_space(const std::filesystem::path& path, uint64_t needed);

// What run.json says; times in seconds.
struct RunStatus {
  std::string status{};  // running | finished | interrupted | failed | imported
  std::string model{}, data{}, data_digest{};
  std::string
      device{};  // read: where the last session of it computed, "cpu" | "cuda" | "": unknown
  int64_t parameters = 0, train_samples = 0, forgotten = 0;
  int64_t steps = 0, epochs = 0;
  double seconds = 0;       // of training and evaluation, over all sessions of the run
  double work_seconds = 0;  // of these without evaluation and checkpoints
  double test_accuracy = -1, test_loss = -1;  // < 0: not measured
  double best_accuracy = -1;
  std::string message{};  // of a failure
  std::string verb = "train";
  std::map<std::string, std::string> facts{};  // what else identifies the run: "method", "from"
  std::map<std::string, double> measures{};    // at the end: "forget_acc", ...
};
void write_run_json(const std::filesystem::path& folder, const RunStatus& status);
// status and a few facts of an existing run. No or broken run.json: ExitCode::input.
RunStatus read_run_json(const std::filesystem::path& folder);
std::string run_json_text(const RunStatus& status);

}  // namespace expunge::tools
