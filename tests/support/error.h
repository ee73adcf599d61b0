#pragma once

#include <string>

#include "core/check.h"

namespace expunge::test {

// The exit code of the Error that `f` throws; done where it throws none.
template <class F>
ExitCode error_code(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::done;
}

template <class F>
std::string error_text(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace expunge::test
