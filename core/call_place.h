#pragma once

namespace expunge {

// Where a call stands in the source. As a default argument here() is the place of the call that
// leaves it out.
struct CallPlace {
  const char* function;
  const char* file;
  int line;

  static constexpr CallPlace here(const char* function = __builtin_FUNCTION(),
                                  const char* file = __builtin_FILE(),
                                  int line = __builtin_LINE()) {
    return {function, file, line};
  }
};

}  // namespace expunge
