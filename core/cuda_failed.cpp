#include "core/call_place.h"
#include "core/check.h"
#include "core/device.h"

namespace expunge {

[[noreturn]] void cuda_failed(int error, const char* name, const char* text,
                              const CallPlace& place) {
  constexpr int kNoMemory = 2;  // cudaErrorMemoryAllocation
  fail(error == kNoMemory ? ExitCode::memory : ExitCode::device,
       "CUDA error {} ({}) in {}: {} [{}:{}]", error, name, place.function, text, place.file,
       place.line);
}

[[noreturn]] void no_cuda_backend() {
  fail(ExitCode::device, "this build has no CUDA backend");
}

}  // namespace expunge
