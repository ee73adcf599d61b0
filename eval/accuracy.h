#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/batch_source.h"
#include "eval/outputs.h"
#include "nn/network.h"

namespace expunge::eval {

struct Accuracy {
  int64_t classes = 0, samples = 0, correct = 0;
  double loss_sum = 0;               // cross-entropy
  std::vector<int64_t> confusion{};  // (classes, classes): [truth][predicted]

  double accuracy() const {
    return samples > 0 ? static_cast<double>(correct) / static_cast<double>(samples) : 0;
  }
  double loss() const { return samples > 0 ? loss_sum / static_cast<double>(samples) : 0; }
  int64_t count(int64_t truth) const;  // samples of a class
  double class_accuracy(int64_t truth) const;
  void add(int64_t truth, int64_t predicted, double loss);
};

// One pass in evaluation mode. `go_on` is asked after every batch; where it says no, the counts so
// far return.
Accuracy measure_accuracy(const nn::Model& model, BatchSource& source,
                          const std::function<bool()>& go_on = {});
// The same of outputs that are there already.
Accuracy accuracy_of(const Outputs& outputs);

}  // namespace expunge::eval
