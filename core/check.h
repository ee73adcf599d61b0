#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace expunge {

// What the process returns to the shell when this error reaches main (docs/exit-codes.md).
enum class ExitCode : int {
  done = 0,
  internal = 1,      // a bug of ours
  usage = 2,         // command line or configuration
  input = 3,         // a data set, model or request that cannot be accepted
  io = 4,            // disk full, read-only, quota
  memory = 5,        // host or device memory exhausted
  numerical = 6,     // NaN or infinity
  device = 7,        // device or backend not available
  verification = 8,  // a check of ours said no
  peer = 9,          // another rank failed
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// One clear sentence for the user: what, where, what was expected.
//   fail(ExitCode::input, "{}: {} bytes, expected a multiple of {}", path, size, kRecord);
template <class... Ts>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Ts...> text, Ts&&... values) {
  throw Error(code, fmt::format(text, std::forward<Ts>(values)...));
}

}  // namespace expunge

// A precondition of a public function: op, expectation, value. Throws ExitCode::internal with file
// and line.
//   EXPUNGE_CHECK(x.rank() == 4, "conv2d: x must be (N, H, W, C), got {}", x.shape().str());
#define EXPUNGE_CHECK(condition, text, ...)                                                  \
  ((condition) ? void()                                                                      \
               : ::expunge::fail(::expunge::ExitCode::internal,                              \
                                 text " [" #condition ", {}:{}]" __VA_OPT__(, ) __VA_ARGS__, \
                                 __FILE__, __LINE__))
