#include "tools/shadow_job.h"

#include <fmt/core.h>

#include "core/check.h"
#include "tools/file_lock.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// A finished run needs its weights only; what it would have gone on from is several times as large.
void remove_states(const fs::path& run) {
  std::error_code ignored;
  std::vector<fs::path> states;
  for (const fs::directory_entry& entry : fs::directory_iterator(run / "checkpoints", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name != "last.safetensors" && name != "best.safetensors") states.push_back(entry.path());
  }
  for (const fs::path& state : states) fs::remove(state, ignored);
}

}  // namespace

ShadowJob::ShadowJob(const Shadow& shadow, const std::string& data_digest, int threads)
    : shadow_(shadow), data_digest_(data_digest), threads_(threads) {}

fs::path ShadowJob::file(const char* extension) const {
  return run().folder.parent_path() / "jobs" / (shadow_.name + extension);
}

void ShadowJob::start() {
  const std::string& verb = run().settings.verb();
  std::error_code error;
  fs::create_directories(file("").parent_path(), error);
  if (error) fail(ExitCode::io, "{}: {}", file("").parent_path().string(), error.message());
  std::vector<std::string> arguments = {verb};
  if (fs::exists(run().folder / "run.json", error)) {
    arguments.insert(arguments.end(), {"--resume", run().folder.string()});
  } else {
    write_ids(file(".ids"), run().forget);
    arguments.insert(arguments.end(), run().flags.begin(), run().flags.end());
    arguments.push_back("--forget=file:" + file(".ids").string());
    if (!run().from.empty()) arguments.push_back("--from=" + run().from.string());
    arguments.push_back("--out=" + run().folder.string());
  }
  arguments.insert(arguments.end(), {"--progress", "none", "--threads", std::to_string(threads_)});
  child_ = Child(std::move(arguments), file(".out"), file(".err"));
  started_ = true;
}

void ShadowJob::end() {
  started_ = false;
  if (const int code = child_.exit_code(); code != 0)
    fail(static_cast<ExitCode>(code), "{}: exit code {}: {}", run().folder.string(), code,
         last_words(file(".err")));
  EXPUNGE_CHECK(is_finished(run(), data_digest_), "{}: ended well, but is not finished",
                run().folder.string());
  std::error_code ignored;
  for (const char* extension : {".out", ".err", ".ids"}) fs::remove(file(extension), ignored);
}

bool ShadowJob::poll() {
  if (child_.running()) return false;
  if (started_) end();
  for (; part_ < 2; ++part_) {
    // An attack that was killed leaves processes that still save.
    if (is_locked(run().folder)) return false;
    if (!is_finished(run(), data_digest_)) return start(), false;
    remove_states(run().folder);
  }
  return true;
}

}  // namespace expunge::tools
