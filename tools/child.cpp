#include "tools/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "tools/signals.h"

extern char** environ;

namespace expunge::tools {
namespace {

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  void open(int fd, const char* path, int flags) {
    posix_spawn_file_actions_addopen(&actions_, fd, path, flags, 0666);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

Child::Child(std::vector<std::string> arguments, const std::filesystem::path& out,
             const std::filesystem::path& err) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::string name = "expunge";
  std::vector<char*> argv{name.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  FileActions actions;
  actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  actions.open(STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
  actions.open(STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
  const int error =
      posix_spawn(&pid_, program.c_str(), actions.get(), nullptr, argv.data(), environ);
  if (error != 0)
    fail(ExitCode::io, "{}: cannot be started: {}", program,
         std::generic_category().message(error));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_code_, other.exit_code_);
  return *this;
}

Child::~Child() {
  if (!running()) return;
  stop();
  ::waitpid(pid_, nullptr, 0);
}

bool Child::running() {
  if (pid_ < 0) return false;
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0) return true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  pid_ = -1;
  return false;
}

void Child::stop() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

int Child::exit_code() const {
  EXPUNGE_CHECK(pid_ < 0, "a child that still runs has no exit code");
  return exit_code_;
}

int wait_for(Child& child) {
  bool asked = false;
  while (child.running()) {
    if (stop_requested() && !std::exchange(asked, true)) child.stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return child.exit_code();
}

std::string last_words(const std::filesystem::path& err) {
  constexpr uint64_t kMaxLog = uint64_t{1} << 26;
  std::string text = read_file(err, kMaxLog);
  text.erase(text.find_last_not_of('\n') + 1);
  text.erase(0, text.rfind('\n') + 1);
  constexpr std::string_view kName = "expunge: ";
  return text.starts_with(kName) ? text.substr(kName.size()) : text;
}

}  // namespace expunge::tools
