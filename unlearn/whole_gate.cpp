#include "unlearn/whole_gate.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "core/parallel.h"
#include "kernels/reduce.h"

namespace expunge::unlearn {
namespace {

std::span<float> part(const Tensor& flat, const Range& range) {
  return {flat.data() + range.offset, static_cast<size_t>(range.size)};
}

std::span<float> span_of(const Tensor& t) {
  return t ? t.span() : std::span<float>();
}

// Unpadded: all ranges one after the other.
Tensor gather(const RangeTable& table, const Tensor& flat) {
  Tensor values({table.size()}, DType::f32, flat.stream());
  int64_t at = 0;
  for (const Range& range : table) {
    values.slice(at, {range.size}).copy_from(flat.slice(range.offset, {range.size}));
    at += range.size;
  }
  return values;
}

void scatter(const RangeTable& table, const Tensor& values, const Tensor& flat) {
  int64_t at = 0;
  for (const Range& range : table) {
    flat.slice(range.offset, {range.size}).copy_from(values.slice(at, {range.size}));
    at += range.size;
  }
}

}  // namespace

WholeGate::WholeGate(const ParamStore& params, GateSpec gate, double beta, WholeGateInputs inputs,
                     Tensor w, bool record)
    : params_(params),
      gate_(std::move(gate)),
      beta_(beta),
      inputs_(std::move(inputs)),
      w_(std::move(w)),
      kept_(Shape{sizeof(double) / sizeof(float)}, DType::f32, w_.stream()),
      record_(record) {
  EXPUNGE_CHECK(row().weigh != nullptr, "whole gate: gate {} has no function", row().name);
  const RangeTable& table = params.parameters();
  int64_t first = 0;
  for (const Range& range : table) {
    first_.push_back(first);
    tensors_.push_back({range.offset, range.size});
    first += range.size;
  }
  by_size_.resize(first_.size());
  std::iota(by_size_.begin(), by_size_.end(), 0);
  std::ranges::stable_sort(by_size_, std::greater<>(), [&](int p) { return table[p].size; });
}

// Where the gate's function reads: beside the parameters, or on the CPU.
Stream WholeGate::gate_stream() const {
  return row().anywhere ? w_.stream() : Stream{};
}

// What the gate looks at; empty where it does not.
WholeGate::Buffers WholeGate::buffers() const {
  const GateUses& uses = row().uses;
  const auto used = [&](bool wanted, const Tensor& flat) {
    return wanted ? flat.to(gate_stream()) : Tensor();
  };
  return {.g_f = used(uses.forget && !uses.phi_alone, inputs_.g_f),
          .g_r = used(uses.retain && !uses.phi_alone, inputs_.g_r),
          .s = used(uses.saliency, inputs_.saliency),
          .phi = used(uses.phi, inputs_.phi),
          .w = w_.to(gate_stream())};
}

// The gate's input, of what part(flat buffer) takes of each.
template <class Part>
GateInput WholeGate::input(const Buffers& of, const StepScalars& scalars, Part part) const {
  return {.stream = gate_stream(),
          .g_f = part(of.g_f),
          .g_r = part(of.g_r),
          .s = part(of.s),
          .phi = part(of.phi),
          .beta = beta_,
          .value = gate_.value,
          .scalars = scalars,
          .first = 0,
          .w = part(of.w)};
}

// w of one tensor, into buffers.w.
void WholeGate::one_tensor(const Buffers& of, int parameter, const StepScalars& scalars) const {
  GateInput its = input(of, scalars, [&](const Tensor& flat) {
    return flat ? part(flat, params_.parameters()[parameter]) : std::span<float>();
  });
  its.first = first_[static_cast<size_t>(parameter)];
  row().weigh(its);
}

// w of each tensor, into buffers.w.
void WholeGate::all_tensors(const Buffers& of, const StepScalars& scalars) const {
  const auto one = [&](int64_t i) { one_tensor(of, by_size_[static_cast<size_t>(i)], scalars); };
  const int64_t count = params_.parameters().count();
  if (gate_stream().device == Device::cpu) return parallel_for(count, one);
  if (row().weigh_tensors != nullptr)
    return row().weigh_tensors(input(of, scalars, span_of), tensors_);
  for (int64_t i = 0; i < count; ++i) one(i);
}

// w of all parameters, into buffers.w.
void WholeGate::whole_model(const Buffers& of, const StepScalars& scalars) const {
  const RangeTable& table = params_.parameters();
  const auto used = [&](const Tensor& flat) { return flat ? gather(table, flat) : Tensor(); };
  const Buffers unpadded{.g_f = used(of.g_f),
                         .g_r = used(of.g_r),
                         .s = used(of.s),
                         .phi = used(of.phi),
                         .w = Tensor({table.size()}, DType::f32, of.w.stream())};
  row().weigh(input(unpadded, scalars, span_of));
  scatter(table, unpadded.w, of.w);
}

void WholeGate::all_of_it(const StepScalars& scalars) const {
  const Buffers of = buffers();
  row().scope == Scope::model ? whole_model(of, scalars) : all_tensors(of, scalars);
  if (of.w.bytes() != w_.bytes()) w_.copy_from(of.w);
  // padding is 0
  kernels::sum_to(w_.stream(), kernels::Term::positive, w_.size(), w_.data(),
                  static_cast<double*>(kept_.bytes()));
}

void WholeGate::weigh(const StepScalars& scalars) {
  if (!record_ || gate_stream().device == Device::cpu || !row().recordable)
    return all_of_it(scalars);
  recorder_.run(gate_stream(), {nn::StepRecorder::Place{w_.bytes(), w_.size()}},
                [&] { all_of_it(scalars); });
}

int64_t WholeGate::kept() const {
  return kept_of(kept_.to({}).span());
}

int64_t WholeGate::kept_of(std::span<const float> bytes) {
  double count = 0;
  std::memcpy(&count, bytes.data(), sizeof(count));
  return static_cast<int64_t>(count);
}

}  // namespace expunge::unlearn
