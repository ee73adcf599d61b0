#include <cuda_runtime.h>

#include <cstdlib>
#include <string_view>

#include "core/check.h"
#include "kernels/launch.h"

namespace expunge::kernels {

bool overlaps_launches() {
  static const bool on = [] {
    constexpr int kFirst = 9;  // compute capability
    const char* text = std::getenv("EXPUNGE_PDL");
    const std::string_view wanted = text == nullptr ? "" : text;
    if (wanted != "" && wanted != "on" && wanted != "off")
      fail(ExitCode::usage, "EXPUNGE_PDL={}: expected on or off", wanted);
    int device = 0;
    cudaDeviceProp properties{};
    check_cuda(cudaGetDevice(&device));
    check_cuda(cudaGetDeviceProperties(&properties, device));
    return wanted == "on" && properties.major >= kFirst;
  }();
  return on;
}

}  // namespace expunge::kernels
