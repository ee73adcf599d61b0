#include "unlearn/saliency.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "kernels/elementwise.h"
#include "kernels/gates.h"
#include "kernels/precision.h"
#include "unlearn/pass.h"

namespace expunge::unlearn {
namespace {

// The gradient of an objective over one batch into `grads`, without touching running statistics.
void gradient(const nn::Model& model, const char* name, BatchNormMode batch_norm,
              const Batch& batch, Tape& tape, const Tensor& grads) {
  const kernels::WithoutLossScale exact;
  tape.reset();
  tape.bind(model.params, {grads, 0.0f});
  const Mode mode = batch_norm == BatchNormMode::eval ? Mode::eval : Mode::train;
  loss_of({*model.network, model.params, objective(name), batch_norm, nullptr, mode}, batch, {},
          &tape);
}

// What is summed up on the CPU; (parameters().padded_size())
Tensor host_buffer(const nn::Model& model) {
  return Tensor::zeros({model.params.parameters().padded_size()});
}

std::span<float> part(const Tensor& flat, const Range& range) {
  return {flat.data() + range.offset, static_cast<size_t>(range.size)};
}

}  // namespace

Tensor saliency_mask(const nn::Model& model, BatchSource& forget, double share) {
  const Tensor grads = model.params.make_buffer(), sums = model.params.make_buffer();
  Tape tape;
  Batch batch;
  for (forget.start(kBeforeFirstStep); forget.next(batch);) {
    gradient(model, "ascent", BatchNormMode::eval, batch, tape, grads);
    kernels::add(sums.stream(), sums.size(), sums.data(), grads.data(), sums.data());
  }
  const Tensor sum = sums.to({});
  const RangeTable& table = model.params.parameters();
  std::vector<float> size;
  size.reserve(static_cast<size_t>(table.size()));
  for (const Range& range : table)
    for (float g : part(sum, range)) size.push_back(std::abs(g));
  std::vector<float> w(size.size());
  kernels::gate_top(size, static_cast<int64_t>(share * static_cast<double>(size.size())), w);
  const Tensor mask = host_buffer(model);
  size_t at = 0;
  for (const Range& range : table)
    for (float& m : part(mask, range)) m = w[at++];
  return mask.to(model.params.values().stream());
}

int64_t perturb_indifferent(nn::Model& model, BatchSource& forget, BatchSource& retain,
                            uint64_t seed) {
  constexpr double kShare = 0.3;
  const Tensor g_f = model.params.make_buffer(), g_r = model.params.make_buffer(),
               s = host_buffer(model);
  Tape tape;
  Batch batch;
  retain.start(kBeforeFirstStep);
  for (forget.start(kBeforeFirstStep); forget.next(batch);) {
    gradient(model, "ascent", BatchNormMode::frozen, batch, tape, g_f);
    if (!retain.next(batch)) {
      retain.start(kBeforeFirstStep);
      retain.next(batch);
    }
    gradient(model, "ce", BatchNormMode::frozen, batch, tape, g_r);
    const Tensor f = g_f.to({}), r = g_r.to({});
    for (int64_t i = 0; i < s.size(); ++i)
      s.data()[i] += std::min(std::abs(f.data()[i]), std::abs(r.data()[i]));
  }
  int64_t perturbed = 0;
  uint64_t element = 0;
  on_host(model.params.values(), [&](const Tensor& values) {
    for (const Range& range : model.params.parameters()) {
      const double threshold =
          kernels::quantile(part(s, range), kShare, kernels::Quantile::midpoint);
      for (int64_t i = 0; i < range.size; ++i, ++element) {
        if (double{s.data()[range.offset + i]} > threshold) continue;
        const rng::Draw draw = rng::philox(
            seed, rng::Purpose::perturb,
            {{static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), 0, 0}});
        float& value = values.data()[range.offset + i];
        value = static_cast<float>(double{value} *
                                   rng::normal_pair(draw.word[0], draw.word[1]).value[0]);
        ++perturbed;
      }
    }
  });
  return perturbed;
}

void transpose_kernels(nn::Model& model) {
  on_host(model.params.values(), [&](const Tensor& values) {
    for (const Range& range : model.params.parameters()) {
      const Shape& shape = range.shape;  // (K, R, S, C)
      if (range.layout != Layout::krsc || shape[1] != shape[2]) continue;
      const int64_t R = shape[1], C = shape[3];
      for (int64_t k = 0; k < shape[0]; ++k) {
        float* w = values.data() + range.offset + k * R * R * C;
        for (int64_t r = 0; r < R; ++r)
          for (int64_t q = 0; q < r; ++q)
            std::swap_ranges(w + (r * R + q) * C, w + (r * R + q + 1) * C, w + (q * R + r) * C);
      }
    }
  });
}

}  // namespace expunge::unlearn
