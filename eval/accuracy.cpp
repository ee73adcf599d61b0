#include "eval/accuracy.h"

#include <algorithm>

#include "nn/predict.h"

namespace expunge::eval {

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

Accuracy measure_accuracy(const nn::Model& model, BatchSource& source,
                          const std::function<bool()>& go_on) {
  Accuracy result{.classes = model.spec.classes};
  const int64_t C = result.classes;
  result.confusion.assign(static_cast<size_t>(C * C), 0);
  nn::predict(model, source, [&](const nn::Prediction& p) {
    for (int64_t i = 0; i < p.batch.size(); ++i) {
      const float* row = p.logits.data() + i * C;
      const int64_t predicted = std::max_element(row, row + C) - row,
                    truth = p.batch.labels.as<int32_t>()[i];
      ++result.confusion[static_cast<size_t>(truth * C + predicted)];
      result.correct += predicted == truth;
      result.loss_sum += double{p.losses.data()[i]};
      ++result.samples;
    }
    return !go_on || go_on();
  });
  return result;
}

}  // namespace expunge::eval
