#include "unlearn/teachers.h"

#include <algorithm>
#include <cmath>

#include "kernels/precision.h"
#include "nn/ops.h"

namespace expunge::unlearn {
namespace {

// Apart from the seeds of training runs, so that the untrained network is not the one that the
// original began as.
constexpr uint64_t kUntrained = 0x75A1B0C3D2E4F697ull;

Tensor answers(const nn::Network& network, const ParamStore& values, const Tensor& x) {
  const Ctx ctx{
      .stream = values.values().stream(), .params = &values, .params16 = nn::params16(values)};
  return network.forward(ctx, {x, Var::kNone}).value;
}

// Images of a batch (N, H, W, C), on the CPU.
Tensor gather(const Tensor& from, const std::vector<int64_t>& rows) {
  Tensor to({std::ssize(rows), from.dim(1), from.dim(2), from.dim(3)});
  const int64_t size = from.size() / from.dim(0);
  for (size_t i = 0; i < rows.size(); ++i)
    std::copy_n(from.data() + rows[i] * size, size, to.data() + static_cast<int64_t>(i) * size);
  return to;
}

// d CE(y) / dx by each image; the mean over the batch has the same signs.
Tensor image_gradient(const nn::Network& network, const ParamStore& values, const Batch& batch) {
  const kernels::WithoutLossScale exact;
  Tape tape;
  tape.bind_constants(values);
  const Tensor dx = empty_like(batch.x);
  const Ctx ctx{.stream = values.values().stream(), .params = &values, .tape = &tape};
  Var loss;
  {
    const Var logits = network.forward(ctx, tape.leaf(batch.x, {dx, 0.0f}));
    loss = nn::cross_entropy(ctx, logits, batch.labels);
  }
  tape.backward(loss);
  return dx;
}

}  // namespace

Teachers::Teachers(const ParamStore& original, std::initializer_list<Teacher> kinds,
                   TeacherConfig config)
    : config_(std::move(config)) {
  const auto any = [&](std::initializer_list<Teacher> of) {
    return std::ranges::find_first_of(kinds, of) != kinds.end();
  };
  if (any({Teacher::original, Teacher::by_side, Teacher::beyond_boundary}))
    original_ = original.clone();
  if (any({Teacher::untrained, Teacher::by_side})) {
    untrained_ = original.clone();
    nn::initialise(untrained_, nn::Init::pytorch, config_.seed ^ kUntrained);
  }
  std::ranges::sort(config_.forgotten);
}

Tensor Teachers::logits(Teacher kind, const nn::Network& network, const Batch& batch) const {
  switch (kind) {
    case Teacher::none:
      return {};
    case Teacher::original:
      return answers(network, original_, batch.x);
    case Teacher::untrained:
      return answers(network, untrained_, batch.x);
    case Teacher::by_side:
      return by_side(network, batch);
    case Teacher::beyond_boundary:
      return answers(network, original_, stepped_images(network, batch));
  }
  return {};
}

// Each network sees its own samples only.
Tensor Teachers::by_side(const nn::Network& network, const Batch& batch) const {
  std::vector<int64_t> rows[2];  // of R, of F
  for (int64_t i = 0; i < batch.size(); ++i)
    rows[std::ranges::binary_search(config_.forgotten, batch.index.as<int32_t>()[i])].push_back(i);
  const Stream stream = original_.values().stream();
  const Tensor images = batch.x.to({});
  Tensor all;
  for (const bool forgotten : {false, true}) {
    const std::vector<int64_t>& mine = rows[forgotten];
    if (mine.empty()) continue;
    const Tensor part =
        answers(network, forgotten ? untrained_ : original_, gather(images, mine).to(stream))
            .to({});
    const int64_t C = part.dim(1);
    if (!all) all = Tensor({batch.size(), C});
    for (size_t i = 0; i < mine.size(); ++i)
      std::copy_n(part.data() + static_cast<int64_t>(i) * C, C, all.data() + mine[i] * C);
  }
  return all.to(stream);
}

Tensor Teachers::stepped_images(const nn::Network& network, const Batch& batch) const {
  const Tensor dx = image_gradient(network, original_, batch).to({}), x = batch.x.to({});
  Tensor stepped(batch.x.shape());
  const int64_t channels = batch.x.dim(3);
  for (int64_t i = 0; i < stepped.size(); ++i) {
    const auto c = static_cast<size_t>(i % channels);
    const double mean = double{config_.mean[c]}, std = double{config_.std[c]};
    const float g = dx.data()[i];
    const int sign = (g > 0.0f ? 1 : 0) - (g < 0.0f ? 1 : 0);
    // to the whole number that the pixel was: ties are then ties, whatever float made of it
    const double pixel = std::nearbyint(255.0 * (double{x.data()[i]} * std + mean));
    const double moved =
        std::nearbyint(std::clamp(pixel + 255.0 * config_.fgsm_step * sign, 0.0, 255.0));
    stepped.data()[i] = static_cast<float>((moved / 255.0 - mean) / std);
  }
  return stepped.to(batch.x.stream());
}

}  // namespace expunge::unlearn
