#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

// A fuzz target reads one input. Whatever the bytes are, it ends by accepting or by an Error with
// the code that its kind of input has; anything else, another exception or a crash, is a finding.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace expunge::fuzz {

// Calls `read` with a file of these bytes, which lies in memory; Error(ExitCode::input or `also`)
// is fine.
int with_file(const uint8_t* bytes, size_t size,
              const std::function<void(const std::filesystem::path&)>& read, int also = 3);

}  // namespace expunge::fuzz
