#pragma once

#include <cstdint>
#include <string>

namespace expunge::tools {

struct BenchTrain {
  std::string model = "resnet18";
  int64_t batch_size = 64;
  int steps = 10, warmup = 3;
};

struct BenchTrainResult {
  double first_loss, last_loss;  // of the checked steps before the timing
  double median_ms, min_ms, max_ms;
  double images_per_s;
  double gflops;  // 6 multiply-add operations per MAC and image: forward, gradients by x and by w
  int64_t peak_rss_mb;
};

// Training steps of SGD (momentum 0.9, weight decay 5e-4) on one synthetic batch of 32x32 images.
// Checks before it times: on the same batch the loss must be finite and fall, otherwise
// ExitCode::verification.
BenchTrainResult bench_train(const BenchTrain& options);

}  // namespace expunge::tools
