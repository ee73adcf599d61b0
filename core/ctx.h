#pragma once

#include <concepts>
#include <initializer_list>
#include <utility>

#include "core/step_scalars.h"
#include "core/tape.h"

namespace expunge {

namespace nn {
struct Trace;  // core knows no operation: nn/trace.h
}

enum class Mode : unsigned char { train, eval };

// What batch norm does. train: batch statistics, running ones updated. frozen: batch statistics,
// running ones untouched (probes). eval: running statistics, untouched.
enum class BatchNormMode : unsigned char { train, frozen, eval };

// Everything a forward pass depends on besides its input; passed to each op, never global.
struct Ctx {
  Stream stream{};
  const ParamStore* params = nullptr;  // values the layers read, statistics they keep
  Tape* tape = nullptr;                // null: nothing is recorded
  Mode mode = Mode::eval;              // dropout
  BatchNormMode batch_norm = BatchNormMode::eval;
  const StepScalars* scalars = nullptr;        // keys of random draws
  const StepScalars* scalars_there = nullptr;  // on a GPU: what a recorded step reads instead
  nn::Trace* trace = nullptr;                  // where operations write their shapes, or null

  // A parameter as a differentiable value (or a plain one where nothing is recorded).
  Var param(int index) const {
    return tape != nullptr ? tape->parameter(index) : Var{params->value(index), Var::kNone};
  }

  template <std::invocable<Tape&, const Tensor&> F>
  Var record(Tensor y, std::initializer_list<const Var*> inputs, F backward) const {
    return tape != nullptr ? tape->record(std::move(y), inputs, std::move(backward))
                           : Var{std::move(y), Var::kNone};
  }
};

}  // namespace expunge
