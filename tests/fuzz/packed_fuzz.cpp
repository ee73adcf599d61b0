#include "data/dataset.h"
#include "fuzz/fuzz.h"

// `expunge data verify`, whose "does not fit" is exit code 8.
int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  return expunge::fuzz::with_file(
      bytes, size, [](const auto& path) { expunge::data::verify_packed(path); }, 8);
}
