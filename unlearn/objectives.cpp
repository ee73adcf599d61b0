#include "unlearn/objectives.h"

#include <string_view>

#include "core/rng.h"
#include "nn/ops.h"

namespace expunge::unlearn {
namespace {

Var descent(const ObjectiveInput& in) {
  return nn::cross_entropy(in.ctx, in.logits, in.batch.labels);
}

Var ascent(const ObjectiveInput& in) {
  return nn::scale(in.ctx, descent(in), -1.0f);
}

Var random_labels(const ObjectiveInput& in) {
  const Tensor& true_labels = in.batch.labels;
  Tensor labels(true_labels.shape(), DType::i32);
  for (int64_t i = 0; i < labels.size(); ++i)
    labels.as<int32_t>()[i] =
        wrong_label(in.ctx.scalars->seed, in.ctx.scalars->step, in.batch.index.as<int32_t>()[i],
                    true_labels.as<int32_t>()[i], in.logits.value.dim(1));
  return nn::cross_entropy(in.ctx, in.logits, labels);
}

Var scrub_away(const ObjectiveInput& in) {
  return nn::scale(in.ctx, nn::scrub(in.ctx, in.logits, in.teacher), -1.0f);
}

Var scrub_keep(const ObjectiveInput& in) {
  return nn::add(in.ctx, descent(in), nn::scrub(in.ctx, in.logits, in.teacher));
}

}  // namespace

const std::vector<Objective>& objectives() {
  static const std::vector<Objective> table = {
      {"ce", "CE(y)", false, descent},
      {"ascent", "-CE(y)", false, ascent},
      {"random-labels", "CE(y'), y' a random wrong label", false, random_labels},
      {"scrub-away", "-sum_c p_s (log p_s - p_t)", true, scrub_away},
      {"scrub-keep", "CE(y) + sum_c p_s (log p_s - p_t)", true, scrub_keep},
  };
  return table;
}

const Objective& objective(const char* name) {
  for (const Objective& row : objectives())
    if (std::string_view(row.name) == name) return row;
  fail(ExitCode::internal, "objective {} is not in the table", name);
}

int32_t wrong_label(uint64_t seed, int64_t step, int32_t position, int32_t label, int64_t classes) {
  EXPUNGE_CHECK(classes > 1, "wrong label: {} classes", classes);
  const rng::Draw draw =
      rng::philox(seed, rng::Purpose::label,
                  {{static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32),
                    static_cast<uint32_t>(position), 0}});
  const auto others = static_cast<uint32_t>(classes - 1);
  const auto shift = static_cast<int64_t>(rng::below(draw.word[0], others)) + 1;
  return static_cast<int32_t>((label + shift) % classes);
}

}  // namespace expunge::unlearn
