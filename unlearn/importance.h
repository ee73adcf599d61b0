#pragma once

#include <cstdint>

#include "core/param_store.h"
#include "kernels/long_sum.h"

// How much weights matter to samples, and what ssd and fisher make of it. Squares of gradients are
// those of batches, as in the published code; with batches of one sample they are the diagonal of
// the (empirical) Fisher information.
namespace expunge::unlearn {

// Long sums (kernels/long_sum.h), an element of a flat buffer each, on the CPU.
struct LongSumHere {
  Tensor value, rest;
  double operator[](int64_t i) const { return double{value.data()[i]} + double{rest.data()[i]}; }
  int64_t size() const { return value.size(); }
};

// The same where the parameters are.
class LongSum {
 public:
  LongSum() = default;
  explicit LongSum(const ParamStore& params)
      : value_(params.make_buffer()), rest_(params.make_buffer()) {}
  // += scale x, scale x^2
  void add(double scale, const Tensor& x) {
    kernels::add_to(stream(), size(), scale, x.data(), at());
  }
  void add_squares(double scale, const Tensor& x) {
    kernels::add_squares_to(stream(), size(), scale, x.data(), at());
  }
  LongSumHere here() const { return {value_.to({}), rest_.to({})}; }
  const Tensor& nearest() const { return value_; }  // as floats
  int64_t size() const { return value_.size(); }
  void zero() { value_.zero(), rest_.zero(); }
  std::vector<NamedBuffer> state(const std::string& name) const {
    return {{name, value_}, {name + "_rest", rest_}};
  }

 private:
  Stream stream() const { return value_.stream(); }
  kernels::LongSumsAt at() const { return {value_.data(), rest_.data()}; }
  Tensor value_, rest_;
};

// ssd (Foster, Schoepf, Brintrup 2024): where I_F > select I_D,
//     theta <- theta min(1, dampen I_D / I_F)
// I_F, I_D: mean squares of gradients over the batches of F and of all samples. Returns how many
// parameters were selected.
struct SsdConfig {
  double select = 10, dampen = 1;
};
int64_t dampen(ParamStore& params, const LongSum& forget, const LongSum& all,
               const SsdConfig& config);

// fisher (Golatkar, Achille, Soatto 2020, in the form of its later code): theta <- theta +
// sqrt(var) N(0, 1), with
//     var = alpha min(1 / (I + 1e-8), 1e3)      1e2 instead in the last linear layer
// averaged over the inputs (PyTorch's dimension 1) of weights with several dimensions, times 10 in
// the last layer, biases and batch norm. The row of a class that is forgotten whole starts from 0
// and has var 1e-3.
struct FisherConfig {
  double alpha = 1e-6;
  int64_t forgotten_class = -1;  // none
};
// var as a flat buffer on the CPU; `information`: I, of the retained samples.
Tensor fisher_variance(const ParamStore& params, const LongSum& information,
                       const FisherConfig& config);
// Draws, keyed by seed and element.
void add_fisher_noise(ParamStore& params, const Tensor& variance, const FisherConfig& config,
                      uint64_t seed);

}  // namespace expunge::unlearn
