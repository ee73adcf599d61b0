#include "kernels/precision.h"

namespace expunge::kernels {
namespace {

Precision chosen = Precision::fp32;

}  // namespace

Precision precision() {
  return chosen;
}

void set_precision(Precision precision) {
  chosen = precision;
}

}  // namespace expunge::kernels
