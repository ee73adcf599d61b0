#include "eval/accuracy.h"

#include <algorithm>

#include "nn/predict.h"

namespace expunge::eval {
namespace {

Accuracy empty_accuracy(int64_t classes) {
  Accuracy a{.classes = classes};
  a.confusion.assign(static_cast<size_t>(classes * classes), 0);
  return a;
}

}  // namespace

int64_t Accuracy::count(int64_t truth) const {
  int64_t total = 0;
  for (int64_t p = 0; p < classes; ++p)
    total += confusion[static_cast<size_t>(truth * classes + p)];
  return total;
}

double Accuracy::class_accuracy(int64_t truth) const {
  const int64_t total = count(truth);
  const int64_t right = confusion[static_cast<size_t>(truth * classes + truth)];
  return total > 0 ? static_cast<double>(right) / static_cast<double>(total) : 0;
}

void Accuracy::add(int64_t truth, int64_t predicted, double loss) {
  ++confusion[static_cast<size_t>(truth * classes + predicted)];
  correct += predicted == truth;
  loss_sum += loss;
  ++samples;
}

Accuracy measure_accuracy(const nn::Model& model, BatchSource& source,
                          const std::function<bool()>& go_on) {
  const int64_t C = model.spec.classes;
  Accuracy result = empty_accuracy(C);
  nn::predict(model, source, [&](const nn::Prediction& p) {
    for (int64_t i = 0; i < p.batch.size(); ++i) {
      const float* row = p.logits.data() + i * C;
      result.add(p.batch.labels.as<int32_t>()[i], std::max_element(row, row + C) - row,
                 double{p.losses.data()[i]});
    }
    return !go_on || go_on();
  });
  return result;
}

Accuracy accuracy_of(const Outputs& outputs) {
  Accuracy result = empty_accuracy(outputs.classes);
  for (int64_t i = 0; i < outputs.samples(); ++i)
    result.add(outputs.label(i), outputs.predicted(i), outputs.losses[static_cast<size_t>(i)]);
  return result;
}

}  // namespace expunge::eval
