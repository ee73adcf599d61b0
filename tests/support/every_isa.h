#pragma once

#include <doctest/doctest.h>

#include "kernels/isa.h"

namespace expunge::test {

// Calls body() once on each instruction set of this CPU.
template <class Body>
void on_every_isa(Body body) {
  const kernels::Isa chosen = kernels::isa();
  for (kernels::Isa isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (!kernels::isa_supported(isa)) continue;
    kernels::set_isa(isa);
    CAPTURE(kernels::isa_name());
    body();
  }
  kernels::set_isa(chosen);
}

}  // namespace expunge::test
