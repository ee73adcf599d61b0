#include "unlearn/objectives.h"

#include <algorithm>
#include <string_view>

#include "core/rng.h"
#include "nn/ops.h"

namespace expunge::unlearn {
namespace {

Var descent(const ObjectiveInput& in) {
  return nn::cross_entropy(in.ctx, in.logits, in.labels);
}

Var ascent(const ObjectiveInput& in) {
  return nn::scale(in.ctx, descent(in), -1.0f);
}

Tensor random_labels(const Batch& batch, const StepScalars& scalars, int64_t classes) {
  Tensor labels(batch.labels.shape(), DType::i32);
  for (int64_t i = 0; i < labels.size(); ++i)
    labels.as<int32_t>()[i] = wrong_label(scalars.seed, scalars.step, batch.index.as<int32_t>()[i],
                                          batch.labels.as<int32_t>()[i], classes);
  return labels;
}

Var scrub_away(const ObjectiveInput& in) {
  return nn::scale(in.ctx, nn::scrub(in.ctx, in.logits, in.teacher), -1.0f);
}

Var scrub_keep(const ObjectiveInput& in) {
  return nn::add(in.ctx, descent(in), nn::scrub(in.ctx, in.logits, in.teacher));
}

// T^2 KL(teacher || student) (Hinton et al. 2015)
Var distillation(const ObjectiveInput& in) {
  return nn::kl_divergence(in.ctx, in.logits, in.teacher,
                           static_cast<float>(in.numbers.temperature));
}

Var distil_away(const ObjectiveInput& in) {
  const double weight = in.numbers.away_by_alpha ? in.numbers.alpha : 1;
  return nn::scale(in.ctx, distillation(in), static_cast<float>(-weight));
}

Var distil_keep(const ObjectiveInput& in) {
  const auto times = [&](double weight, const Var& x) {
    return nn::scale(in.ctx, x, static_cast<float>(weight));
  };
  return nn::add(in.ctx, times(in.numbers.gamma, descent(in)),
                 times(in.numbers.alpha, distillation(in)));
}

Var imitate(const ObjectiveInput& in) {
  const double T = in.numbers.temperature;
  const auto classes = static_cast<double>(in.logits.value.dim(1));
  const double divisor = T * T * (in.numbers.mean_over_classes ? classes : 1);
  return nn::scale(in.ctx, distillation(in), static_cast<float>(1 / divisor));
}

Var descent_and_l1(const ObjectiveInput& in) {
  const Var loss = descent(in);
  const double weight = penalty_weight(in.numbers, in.ctx.scalars->epoch);
  if (weight == 0) return loss;
  Var size = nn::l1(in.ctx, in.ctx.param(0));
  for (int p = 1; p < in.ctx.params->parameters().count(); ++p)
    size = nn::add(in.ctx, size, nn::l1(in.ctx, in.ctx.param(p)));
  return nn::add(in.ctx, loss, nn::scale(in.ctx, size, static_cast<float>(weight)));
}

Var nearest_class(const ObjectiveInput& in) {
  const Tensor teacher = in.teacher.to({});
  const int64_t N = teacher.dim(0), C = teacher.dim(1);
  Tensor labels(Shape{N}, DType::i32);
  for (int64_t i = 0; i < N; ++i) {
    const float* row = teacher.data() + i * C;
    labels.as<int32_t>()[i] = static_cast<int32_t>(std::max_element(row, row + C) - row);
  }
  return nn::cross_entropy(in.ctx, in.logits, labels);
}

Tensor last_class(const Batch& batch, const StepScalars&, int64_t classes) {
  Tensor labels(batch.labels.shape(), DType::i32);
  std::fill_n(labels.as<int32_t>(), labels.size(), static_cast<int32_t>(classes - 1));
  return labels;
}

}  // namespace

const std::vector<Objective>& objectives() {
  constexpr bool kRecordable = true, kCallByCall = false;
  static const std::vector<Objective> table = {
      {"ce", "CE(y)", Teacher::none, descent, kRecordable},
      {"ascent", "-CE(y)", Teacher::none, ascent, kRecordable},
      {"random-labels", "CE(y'), y' a random wrong label", Teacher::none, descent, kRecordable,
       random_labels},
      {"scrub-away", "-sum_c p_s (log p_s - p_t)", Teacher::original, scrub_away, kRecordable},
      {"scrub-keep", "CE(y) + sum_c p_s (log p_s - p_t)", Teacher::original, scrub_keep,
       kRecordable},
      {"ce-l1", "CE(y) + a_t sum |theta|, a_t = alpha (1 - t / E) in epoch t", Teacher::none,
       descent_and_l1, kCallByCall},
      {"distil-away", "-T^2 KL(original || student) at temperature T", Teacher::original,
       distil_away, kRecordable},
      {"distil-keep", "gamma CE(y) + alpha T^2 KL(original || student)", Teacher::original,
       distil_keep, kRecordable},
      {"imitate-untrained", "KL(untrained || student) at temperature T", Teacher::untrained,
       imitate, kRecordable},
      {"imitate-original", "KL(original || student) at temperature T", Teacher::original, imitate,
       kRecordable},
      {"imitate-by-side", "imitate-untrained for samples of F, imitate-original for those of R",
       Teacher::by_side, imitate, kCallByCall},
      {"nearest-class", "CE(y'), y' the original's answer one FGSM step away",
       Teacher::beyond_boundary, nearest_class, kCallByCall},
      {"shadow-class", "CE(y'), y' a class that only unlearning has", Teacher::none, descent,
       kRecordable, last_class},
  };
  return table;
}

const Objective& objective(const char* name) {
  for (const Objective& row : objectives())
    if (std::string_view(row.name) == name) return row;
  fail(ExitCode::internal, "objective {} is not in the table", name);
}

Tensor labels_for(const Objective& objective, const Batch& batch, const StepScalars& scalars,
                  int64_t classes) {
  return objective.labels == nullptr ? batch.labels : objective.labels(batch, scalars, classes);
}

double penalty_weight(const ObjectiveNumbers& numbers, int epoch) {
  if (epoch >= numbers.penalty_epochs) return 0;
  return numbers.alpha * (1 - double(epoch) / numbers.penalty_epochs);
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
