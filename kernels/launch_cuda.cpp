#include <cuda_runtime.h>

#include <cstdlib>
#include <string_view>

#include "core/check.h"
#include "kernels/launch.h"

namespace expunge::kernels {

bool overlaps_launches(const void* a_kernel) {
  static const bool on = [&] {
    const char* text = std::getenv("EXPUNGE_PDL");
    const std::string_view wanted = text == nullptr ? "" : text;
    if (wanted != "" && wanted != "on" && wanted != "off")
      fail(ExitCode::usage, "EXPUNGE_PDL={}: expected on or off", wanted);
    if (wanted != "on") return false;
    // code for earlier GPUs does not wait, wherever it runs
    constexpr int kFirst = 90;
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, a_kernel));
    return attributes.ptxVersion >= kFirst && attributes.binaryVersion >= kFirst;
  }();
  return on;
}

}  // namespace expunge::kernels
