#include "core/check.h"
#include "data/image.h"
#include "data/resize.h"
#include "fuzz/fuzz.h"

using namespace expunge;

// The wrapper of stb_image, and the resizing of what it gives.
int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  try {
    const data::Image image = data::decode_image({reinterpret_cast<const char*>(bytes), size});
    if (image.size.height * image.size.width < 1 << 16) data::resized(image, {7, 5});
  } catch (const Error& error) {
    if (error.code() != ExitCode::input) throw;
  }
  return 0;
}
