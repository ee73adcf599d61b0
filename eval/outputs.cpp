#include "eval/outputs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nn/predict.h"

namespace expunge::eval {
namespace {

// log sum_{j != without} exp z_j; without = -1: of all.
double log_sum_exp(std::span<const float> z, int64_t without) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t j = 0; j < std::ssize(z); ++j)
    if (j != without) largest = std::max(largest, double{z[static_cast<size_t>(j)]});
  for (int64_t j = 0; j < std::ssize(z); ++j)
    if (j != without) sum += std::exp(double{z[static_cast<size_t>(j)]} - largest);
  return largest + std::log(sum);
}

// log(1 + exp(x))
double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

}  // namespace

int64_t Outputs::predicted(int64_t i) const {
  const auto z = logits_of(i);
  return std::max_element(z.begin(), z.end()) - z.begin();
}

void Outputs::add(std::span<const float> z, int32_t label, int32_t position) {
  EXPUNGE_CHECK(classes >= 2 && std::ssize(z) == classes && label >= 0 && label < classes,
                "outputs: {} logits and label {} for {} classes", z.size(), label, classes);
  for (const float value : z)
    if (!std::isfinite(value))
      fail(ExitCode::numerical,
           "the model's output for the sample at position {} is {}, expected finite logits: its "
           "weights or running statistics have diverged",
           position, value);
  labels.push_back(label);
  positions.push_back(position);
  logits.insert(logits.end(), z.begin(), z.end());
  const double all = log_sum_exp(z, -1);
  for (const float value : z) {
    log_p.push_back(double{value} - all);
    p.push_back(std::exp(log_p.back()));
  }
  const double margin = double{z[static_cast<size_t>(label)]} - log_sum_exp(z, label);
  margins.push_back(margin);
  losses.push_back(softplus(-margin));
}

Outputs collect_outputs(const nn::Model& model, BatchSource& source,
                        const std::function<bool()>& go_on) {
  Outputs out{.classes = model.spec.classes};
  nn::predict(model, source, [&](const nn::Prediction& p) {
    EXPUNGE_CHECK(p.batch.labels && p.batch.index, "outputs: batches have labels and positions");
    for (int64_t i = 0; i < p.batch.size(); ++i)
      out.add(p.logits.span().subspan(static_cast<size_t>(i * out.classes),
                                      static_cast<size_t>(out.classes)),
              p.batch.labels.as<int32_t>()[i], p.batch.index.as<int32_t>()[i]);
    return !go_on || go_on();
  });
  return out;
}

Outputs with_labels_of(const Outputs& outputs, const Outputs& like) {
  std::vector<bool> wanted(static_cast<size_t>(outputs.classes));
  for (const int32_t label : like.labels) wanted.at(static_cast<size_t>(label)) = true;
  Outputs out{.classes = outputs.classes};
  for (int64_t i = 0; i < outputs.samples(); ++i)
    if (wanted[static_cast<size_t>(outputs.label(i))])
      out.add(outputs.logits_of(i), outputs.labels[static_cast<size_t>(i)],
              outputs.positions[static_cast<size_t>(i)]);
  return out;
}

}  // namespace expunge::eval
