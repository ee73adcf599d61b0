#pragma once

#include "kernels/conv_algo.h"

namespace expunge::test {

// Convolutions by this algorithm while it lives.
class WithAlgo {
 public:
  explicit WithAlgo(kernels::ConvAlgo algo) : before_(kernels::conv_algo()) {
    kernels::set_conv_algo(algo);
  }
  ~WithAlgo() { kernels::set_conv_algo(before_); }
  WithAlgo(const WithAlgo&) = delete;
  WithAlgo& operator=(const WithAlgo&) = delete;

 private:
  kernels::ConvAlgo before_;
};

}  // namespace expunge::test
