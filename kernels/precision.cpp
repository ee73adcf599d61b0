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

DType activation_type() {
  switch (chosen) {
    case Precision::bf16:
      return DType::bf16;
    case Precision::fp16:
      return DType::f16;
    case Precision::fp32:
    case Precision::tf32:
      break;
  }
  return DType::f32;
}

WithoutLossScale::WithoutLossScale() : before_(chosen) {
  if (chosen == Precision::fp16) chosen = Precision::tf32;
}

}  // namespace expunge::kernels
