#include "tools/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace {

constexpr uint64_t kMaxLog = uint64_t{1} << 26;
// Signals wait from before fork until the new process has its own answer to them: one that came in
// between would be noted in memory that exec throws away.
class SignalsWait {
 public:
  SignalsWait() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsWait() { over(); }
  SignalsWait(const SignalsWait&) = delete;
  void over() const { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

[[noreturn]] void give_up() {
  constexpr char kWords[] = "expunge: cannot be started once more\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kWords, sizeof kWords - 1);
  ::_exit(static_cast<int>(ExitCode::io));
}

// In the new process, between fork and exec: system calls only.
[[noreturn]] void become(const char* program, char* const* argv, const char* out, const char* err,
                         pid_t parent, const SignalsWait& signals) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_TRUNC;
  const int files[] = {::open("/dev/null", O_RDONLY), ::open(out, kNew, 0666),
                       ::open(err, kNew, 0666)};
  for (int fd = 0; fd < 3; ++fd)
    if (files[fd] < 0 || ::dup2(files[fd], fd) < 0) give_up();
  for (const int file : files)
    if (file > STDERR_FILENO) ::close(file);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) give_up();  // it died before the line above
  signals.over();
  ::execv(program, argv);
  give_up();
}

}  // namespace

Child::Child(std::vector<std::string> arguments, const std::filesystem::path& out,
             const std::filesystem::path& err) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::string name = "expunge";
  std::vector<char*> argv{name.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const SignalsWait signals;
  pid_ = ::fork();
  if (pid_ == 0) become(program.c_str(), argv.data(), out.c_str(), err.c_str(), parent, signals);
  if (pid_ < 0)
    fail(ExitCode::io, "{}: cannot be started: {}", program,
         std::generic_category().message(errno));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_code_(other.exit_code_), asked_(other.asked_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_code_, other.exit_code_);
  std::swap(asked_, other.asked_);
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
  if (pid_ > 0 && !std::exchange(asked_, true)) ::kill(pid_, SIGTERM);
}

int Child::exit_code() const {
  EXPUNGE_CHECK(pid_ < 0, "a child that still runs has no exit code");
  return exit_code_;
}

int wait_for(Child& child) {
  while (child.running()) {
    if (stop_requested()) child.stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return child.exit_code();
}

std::string last_words(const std::filesystem::path& err) {
  std::string text = read_file(err, kMaxLog);
  text.erase(text.find_last_not_of('\n') + 1);
  text.erase(0, text.rfind('\n') + 1);
  constexpr std::string_view kName = "expunge: ";
  return text.starts_with(kName) ? text.substr(kName.size()) : text;
}

}  // namespace expunge::tools
