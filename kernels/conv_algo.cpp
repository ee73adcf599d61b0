#include "kernels/conv_algo.h"

#include <algorithm>
#include <atomic>

#include "kernels/winograd.h"

namespace expunge::kernels {
namespace {

std::atomic<ConvAlgo> chosen{ConvAlgo::automatic};

struct Name {
  ConvAlgo algo;
  const char* name;
};
constexpr Name kNames[] = {
    {ConvAlgo::automatic, "auto"}, {ConvAlgo::direct, "direct"}, {ConvAlgo::winograd, "winograd"}};

// Measured, training step of one layer, direct against Winograd (docs/performance.md): below 3 x 3
// outputs most of a tile is thrown away, below 16 channels the transforms cost more than the
// products that they save.
constexpr int64_t kLeastOutputs = 3, kLeastChannels = 16;

bool winograd_pays(const Conv2dShape& s) {
  return std::min(s.P(), s.Q()) >= kLeastOutputs && std::min(s.C, s.K) >= kLeastChannels;
}

}  // namespace

std::optional<ConvAlgo> conv_algo_of(std::string_view name) {
  for (const Name& n : kNames)
    if (name == n.name) return n.algo;
  return {};
}

const char* conv_algo_name(ConvAlgo algo) {
  return std::ranges::find(kNames, algo, &Name::algo)->name;
}

void set_conv_algo(ConvAlgo algo) {
  chosen.store(algo, std::memory_order_relaxed);
}

ConvAlgo conv_algo() {
  return chosen.load(std::memory_order_relaxed);
}

ConvAlgo conv_algo_for(const Conv2dShape& s) {
  const ConvAlgo wanted = conv_algo();
  if (wanted == ConvAlgo::direct || !winograd_applies(s)) return ConvAlgo::direct;
  if (wanted == ConvAlgo::winograd || winograd_pays(s)) return ConvAlgo::winograd;
  return ConvAlgo::direct;
}

}  // namespace expunge::kernels
