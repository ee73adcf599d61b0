#include "core/device.h"

namespace expunge {
namespace {

Stream& chosen() {
  static Stream stream;
  return stream;
}

}  // namespace

Stream compute_stream() {
  return chosen();
}

void set_compute_stream(Stream stream) {
  chosen() = stream;
}

}  // namespace expunge
