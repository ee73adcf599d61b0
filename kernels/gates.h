#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/device.h"

// Gates that look at a whole tensor, or at the whole model: each sets w (n) from what it is given.
// Elements are passed without padding; ties are broken by index; sums are in double and in the
// order of the index, so the same input gives the same bits for any number of threads.
namespace expunge::kernels {

// w = [|s| >= the q-quantile of |s|]. Where the quantile falls between two values: linear takes the
// point between them, midpoint their mean (numpy's names).
enum class Quantile : unsigned char { linear, midpoint };
double quantile(std::span<const float> values, double q, Quantile how);  // of at least one
void gate_saliency(std::span<const float> s, double q, Quantile how, std::span<float> w);

// The `keep` largest values of `score` get w = 1.
void gate_top(std::span<const float> score, int64_t keep, std::span<float> w);

// The largest set, from the highest phi down, in which the mean of 1 - phi is at most alpha: it
// bounds the expected share of parameters whose gradients disagree (in the manner of Benjamini and
// Hochberg 1995), if phi is calibrated. Returns its size.
int64_t gate_fdr(std::span<const float> phi, double alpha, std::span<float> w);

// OPT of arXiv 2511.02435. With u = phi g_f, c = phi g_r (phi = 1 where it is empty), a = 1 - beta
// and b = beta the step is feasible where
//   min(a |u|^2 + b <u, c>, b |c|^2 + a <u, c>) >= 0.
// Elements are ordered by u_i c_i, smallest first, and the first prefix whose removal makes the
// rest feasible is dropped (w = 0); all of them where none does. The others get w = phi.
// Feasibility is not monotone in the prefix, so no length is passed over that might do: products
// are sorted in classes by their size, and a class is opened unless a bound over all its prefixes
// says that none is feasible. Sums of what is left: products >= 0 in four strands by index, then
// the negative ones, by class the smallest first, by index; in the opened class by product. Returns
// how many were dropped.
int64_t gate_opt(std::span<const float> g_f, std::span<const float> g_r, std::span<const float> phi,
                 double beta, std::span<float> w);

// The same where the stream works; spans of a GPU's memory. fdr and opt do not say how many there.
void gate_top(Stream stream, std::span<const float> score, int64_t keep, std::span<float> w);
void gate_fdr(Stream stream, std::span<const float> phi, double alpha, std::span<float> w);
void gate_opt(Stream stream, std::span<const float> g_f, std::span<const float> g_r,
              std::span<const float> phi, double beta, std::span<float> w);

// A tensor in flat buffers.
struct GateTensor {
  int64_t offset, size;
};
// saliency and opt of each of the tensors: on a GPU in the same launches.
void gate_saliency(Stream stream, std::span<const GateTensor> tensors, std::span<const float> s,
                   double q, Quantile how, std::span<float> w);
void gate_opt(Stream stream, std::span<const GateTensor> tensors, std::span<const float> g_f,
              std::span<const float> g_r, std::span<const float> phi, double beta,
              std::span<float> w);

// On a GPU (gates.cu, gate_saliency.cu, gate_opt.cu), with gate_workspace() bytes to work in;
// tensors below 2^32. saliency and opt take up to 64 tensors at a time, in bytes as their own
// functions say; opt some 24 an element: room to sort them all, though of a large tensor it sorts
// the classes alone that the prefix may end in. Its sums come in another order than the CPU's:
// another prefix where rounding decides which is feasible.
namespace cuda {

size_t gate_workspace();
size_t gate_saliency_workspace();
void gate_saliency(Stream stream, std::span<const GateTensor> tensors, const float* s, double q,
                   Quantile how, float* w, void* workspace);
void gate_top(Stream stream, int64_t n, const float* score, int64_t keep, float* w,
              void* workspace);
void gate_fdr(Stream stream, int64_t n, const float* phi, double alpha, float* w, void* workspace);

size_t gate_opt_workspace(std::span<const GateTensor> tensors);
void gate_opt(Stream stream, std::span<const GateTensor> tensors, const float* g_f,
              const float* g_r,
              const float* phi,  // may be null: 1
              double beta, float* w, void* workspace);

}  // namespace cuda

}  // namespace expunge::kernels
