#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace expunge::tools {

// This program once more, as a process of its own, so that a run that fails or is killed takes
// nothing with it. stdout and stderr go to files; stdin is empty. An Expunge's environment
// variables (EXPUNGE_...) are the child's as well. Ctrl-C on the terminal does not reach it: what
// started it gets the signal and asks it to stop, once. It saves and ends when that is killed.
class Child {
 public:
  Child() = default;  // none, that ended well
  // arguments: what stands behind the program's name. Cannot be started: ExitCode::io.
  Child(std::vector<std::string> arguments, const std::filesystem::path& out,
        const std::filesystem::path& err);
  ~Child();  // stops it and waits
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;

  bool running();         // does not wait
  void stop();            // asks it to save and end; asking again changes nothing
  int exit_code() const;  // once it does not run; 128 + a signal that ended it

 private:
  pid_t pid_ = -1;
  int exit_code_ = 0;
  bool asked_ = false;  // to stop
};

// Waits for the child; where a signal comes meanwhile, stops it first. Its exit code.
int wait_for(Child& child);

// The last line of what a child said on stderr, without the program's name.
std::string last_words(const std::filesystem::path& err);

}  // namespace expunge::tools
