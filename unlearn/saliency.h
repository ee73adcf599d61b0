#pragma once

#include "core/batch_source.h"
#include "nn/network.h"

// What gradients over the whole forget set say about the weights, before the first step.
namespace expunge::unlearn {

// The epoch, for order and augmentation, of the passes before the first step.
inline constexpr int kBeforeFirstStep = 1 << 19;

// The mask of SalUn (Fan et al. 2024): G = sum over the batches of F of the gradient of -CE, with
// running statistics; 1 for the int(share * n) largest |G| of all n parameters, ties by index.
// A flat buffer of the model's parameters.
Tensor saliency_mask(const nn::Model& model, BatchSource& forget, double share);

// msg: s = sum over pairs of a forget and a retain batch of min(|g_f|, |g_r|), the gradients of
// -CE(F) and CE(R) with batch statistics; in each tensor, parameters with s at most its
// 0.3-quantile (midpoint) are multiplied by N(0, 1), keyed by `seed`. Returns how many.
int64_t perturb_indifferent(nn::Model& model, BatchSource& forget, BatchSource& retain,
                            uint64_t seed);

// ct: w[k][r][s][c] <-> w[k][s][r][c] of every square kernel.
void transpose_kernels(nn::Model& model);

}  // namespace expunge::unlearn
