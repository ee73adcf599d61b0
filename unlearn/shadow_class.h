#pragma once

#include <cstdint>

#include "nn/network.h"

// boundary-expand (Chen et al. 2023): while it unlearns, a network has one class more, which the
// samples of F are pushed into; afterwards that class is dropped.
namespace expunge::unlearn {

// How the new row of the last layer begins.
enum class ShadowRow : unsigned char {
  xavier,   // normal with variance 2 / (in + classes + 1), bias 0: the authors' code
  pytorch,  // weights and bias uniform in +-1/sqrt(in): SalUn's port
};

// A copy of the model with one class more, its row keyed by `seed`. A network whose last parameters
// are not a linear layer with an output a class: ExitCode::usage.
nn::Model with_shadow_class(const nn::Model& model, ShadowRow row, uint64_t seed);

// Everything of `widened` but its last class, statistics too, into a model without it.
void drop_shadow_class(const nn::Model& widened, nn::Model& into);

}  // namespace expunge::unlearn
