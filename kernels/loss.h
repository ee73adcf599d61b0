#pragma once

#include <cstdint>

#include "core/device.h"

// Losses of a batch, each with its gradient in the same pass: the data is loaded already.
//   losses[i]      (N) loss of sample i
//   gradient[i,c]  (N, C) d losses[i] / d input[i,c]; null where it is not wanted
namespace expunge::kernels {

// Softmax cross-entropy of logits z with target distribution t, p = softmax(z):
//   loss = -sum_c t_c log p_c,   d/dz = p - t
// t = (1 - smoothing) onehot(label) + smoothing / C (Szegedy et al. 2016), or the rows of
// soft_targets.
struct SoftmaxXent {
  int64_t N, C;
  const float* logits;                  // (N, C)
  const int32_t* labels = nullptr;      // (N), or
  const float* soft_targets = nullptr;  // (N, C)
  float smoothing = 0;
};
void softmax_xent(Stream stream, const SoftmaxXent& a, float* losses, float* gradient);

// Distillation (Hinton et al. 2015): T^2 KL(p_t || p_s), p = softmax(z / T); the gradient is by the
// student's logits: T (p_s - p_t). The teacher is constant.
void softmax_kl(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                float temperature, float* losses, float* gradient);

// The SCRUB term of arXiv 2511.02435's code, T = 1: sum_c p_s (log p_s - p_t). The log on the
// teacher's probability is missing there, so it is not a divergence and may be negative. The
// teacher is constant; with f_c = log p_s - p_t the gradient is by the student's logits: p_s (f -
// loss).
void softmax_scrub(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                   float* losses, float* gradient);

// loss = mean_c (x_c - target_c)^2
void squared_error(Stream stream, int64_t N, int64_t C, const float* x, const float* targets,
                   float* losses, float* gradient);

// y = softmax(x), rows of (N, C)
void softmax(Stream stream, int64_t N, int64_t C, const float* x, float* y);

// hits[i] = 1 where the first of the largest of row i of (N, C) is labels[i], else 0
void top1(Stream stream, int64_t N, int64_t C, const float* x, const int32_t* labels, float* hits);

// The same on a GPU (loss.cu), a warp a row, top1 a thread.
namespace cuda {

void softmax_xent(Stream stream, const SoftmaxXent& a, float* losses, float* gradient);
void softmax_kl(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                float temperature, float* losses, float* gradient);
void softmax_scrub(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                   float* losses, float* gradient);
void squared_error(Stream stream, int64_t N, int64_t C, const float* x, const float* targets,
                   float* losses, float* gradient);
void softmax(Stream stream, int64_t N, int64_t C, const float* x, float* y);
void top1(Stream stream, int64_t N, int64_t C, const float* x, const int32_t* labels, float* hits);

}  // namespace cuda

}  // namespace expunge::kernels
