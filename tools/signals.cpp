#include "tools/signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>

namespace expunge::tools {
namespace {

volatile std::sig_atomic_t received = 0;
timespec first;  // when it was

double seconds_since_first() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec - first.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec - first.tv_nsec);
}

void on_signal(int signal) {
  constexpr double kSameSeconds = 0.1;
  if (received != 0) {
    if (seconds_since_first() >= kSameSeconds) _exit(128 + signal);
    return;
  }
  clock_gettime(CLOCK_MONOTONIC, &first);
  received = signal;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

int stop_signal() {
  return received;
}

}  // namespace expunge::tools
