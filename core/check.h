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

// What EXPUNGE_CHECK throws: the text, then the condition and where it stands.
template <class... Ts>
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               fmt::format_string<Ts...> text, Ts&&... values) {
  fail(ExitCode::internal, "{} [{}, {}:{}]", fmt::format(text, std::forward<Ts>(values)...),
       condition, file, line);
}

}  // namespace expunge

// A precondition of a public function: op, expectation, value. Throws ExitCode::internal.
//   EXPUNGE_CHECK(x.rank() == 4, "conv2d: x must be (N, H, W, C), got {}", x.shape().str());
#define EXPUNGE_CHECK(condition, ...) \
  ((condition) ? void() : ::expunge::check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__))
