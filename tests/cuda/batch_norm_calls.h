#pragma once

#include "cuda/both.h"
#include "kernels/batch_norm.h"

// What tests of batch norm on a device have in common.
namespace expunge::kernels {

using namespace test;

inline constexpr float kEps = 1e-5f;
inline constexpr BatchNormShape kShapes[] = {{2, 1, false},    {33, 3, true},   {100, 64, true},
                                             {700, 10, false}, {64, 260, true}, {5000, 4, true},
                                             {9000, 1, false}};

// Normal ones in eighths: sums of their products are exact in any order.
inline Floats eighths(int64_t n, uint64_t key) {
  Floats x = draw(n, key);
  for (float& v : x) v = std::round(8 * v) / 8;
  return x;
}
// ({a, b}, C) of gamma and beta
inline Floats line_of(const Floats& mean, const Floats& invstd, const Floats& gamma,
                      const Floats& beta) {
  const size_t C = mean.size();
  Floats line(2 * C);
  for (size_t c = 0; c < C; ++c)
    line[c] = gamma[c] * invstd[c], line[C + c] = beta[c] - mean[c] * line[c];
  return line;
}

inline void find_statistics(const Batches<BatchNormStatistics>& of) {
  const DeviceArray<char> workspace(cuda::statistics_workspace(of));
  cuda::batch_norm_statistics(kStream, of, workspace.data());
}
inline void find_sums(const Batches<BatchNormSums>& of) {
  const DeviceArray<char> workspace(cuda::sums_workspace(of));
  cuda::batch_norm_sums(kStream, of, workspace.data());
}
inline void differentiate(const Batches<BatchNormBackward>& of) {
  const DeviceArray<char> workspace(cuda::backward_workspace(of));
  cuda::batch_norm_backward(kStream, of, workspace.data());
}

}  // namespace expunge::kernels
