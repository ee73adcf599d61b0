#pragma once

#include "core/file.h"
#include "kernels/conv_plan_cudnn.h"

// What cuDNN is asked in these tests, for a device that is not there.
namespace expunge::kernels::cudnn {

inline constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::data, ConvPass::weights};
inline constexpr Precision kPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16,
                                            Precision::fp16};

inline Descriptor h200() {
  return device_from_json(read_file(EXPUNGE_CUDNN_TESTS "/h200.json", 1 << 16));
}

inline ConvProblem problem(ConvPass pass = ConvPass::forward,
                           Precision precision = Precision::bf16) {
  return {.pass = pass,
          .shape = {.N = 8, .H = 16, .W = 16, .C = 64, .K = 64, .R = 3, .S = 3, .pad = 1},
          .precision = precision};
}

// Where our Winograd is one of the ways.
inline ConvProblem strict(ConvPass pass = ConvPass::forward) {
  ConvProblem p = problem(pass, Precision::fp32);
  p.algo = ConvAlgo::automatic;
  return p;
}

}  // namespace expunge::kernels::cudnn
