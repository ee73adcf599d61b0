#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
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

// One of the batches that lie one behind the other in a joint pass: its images, and what Ctx has of
// its own for it.
struct JointBatch {
  int64_t images = 0;
  BatchNormMode batch_norm = BatchNormMode::eval;
  const StepScalars *scalars = nullptr, *scalars_there = nullptr;
};

// Everything a forward pass depends on besides its input; passed to each op, never global.
struct Ctx {
  Stream stream{};
  const ParamStore* params = nullptr;  // values the layers read, statistics they keep
  Tensor params16{};       // the values in 16 bits (nn::params16); empty: there are none
  Tape* tape = nullptr;    // null: nothing is recorded
  Mode mode = Mode::eval;  // dropout
  BatchNormMode batch_norm = BatchNormMode::eval;
  const StepScalars* scalars = nullptr;        // keys of random draws
  const StepScalars* scalars_there = nullptr;  // on a GPU: what a recorded step reads instead
  nn::Trace* trace = nullptr;                  // where operations write their shapes, or null
  // Of a joint pass over two batches: each is to give what a pass of its own would
  // (Tape::bind_joint). Empty: one batch.
  std::span<const JointBatch> joint{};

  // body(its Ctx, n0, n1) for each batch's images [n0, n1) of `images`: operations in which the
  // images of a batch see each other, or draw, go batch by batch.
  template <class Body>
  void for_batches(int64_t images, Body body) const {
    if (joint.empty()) return body(*this, int64_t{0}, images);
    int64_t all = 0, begin = 0;
    for (const JointBatch& batch : joint) all += batch.images;
    EXPUNGE_CHECK(all == images, "a joint pass over {} images: an operation sees {} rows", all,
                  images);
    for (const JointBatch& batch : joint) {
      Ctx own = *this;
      own.batch_norm = batch.batch_norm;
      own.scalars = batch.scalars, own.scalars_there = batch.scalars_there;
      own.joint = {};
      body(own, begin, begin + batch.images);
      begin += batch.images;
    }
  }

  // Nothing is recorded, and batch norm is by running statistics.
  bool evaluates() const {
    return tape == nullptr && batch_norm == BatchNormMode::eval && joint.empty();
  }

  // A parameter as a differentiable value (or a plain one where nothing is recorded).
  Var param(int index) const {
    return tape != nullptr ? tape->parameter(index) : Var{params->value(index), Var::kNone};
  }

  // A parameter in 16 bits, as it was when the pass began; empty where there is none.
  Tensor in_16_bits(const Tensor& parameter) const {
    if (!params16) return {};
    const auto first = reinterpret_cast<uintptr_t>(params->values().data()),
               here = reinterpret_cast<uintptr_t>(parameter.data());
    const auto at = static_cast<int64_t>((here - first) / sizeof(float));
    const bool inside = here >= first && at + parameter.size() <= params16.size();
    return inside ? params16.slice(at, parameter.shape()) : Tensor{};
  }

  template <std::invocable<Tape&, const Tensor&> F>
  Var record(Tensor y, std::initializer_list<const Var*> inputs, F backward) const {
    return tape != nullptr ? tape->record(std::move(y), inputs, std::move(backward))
                           : Var{std::move(y), Var::kNone};
  }
};

}  // namespace expunge
