#pragma once

namespace expunge::tools {

// SIGINT and SIGTERM ask the work to finish its step and save; a second one ends the process at
// once, but not within a tenth of a second: whoever stops a program and then its process group, as
// timeout(1) does, asks once. SIGXFSZ and SIGPIPE are ignored, so that writes fail with errno
// instead.
void install_signal_handlers();

int stop_signal();  // the first signal that came, or 0
inline bool stop_requested() {
  return stop_signal() != 0;
}

}  // namespace expunge::tools
