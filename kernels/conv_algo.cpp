#include "kernels/conv_algo.h"

#include <algorithm>
#include <atomic>

#include "kernels/winograd.h"
#include "kernels/winograd_grid.h"

namespace expunge::kernels {
namespace {

std::atomic<ConvAlgo> chosen{ConvAlgo::automatic};

struct Name {
  ConvAlgo algo;
  const char* name;
};
constexpr Name kNames[] = {
    {ConvAlgo::automatic, "auto"}, {ConvAlgo::direct, "direct"}, {ConvAlgo::winograd, "winograd"}};

// Measured (docs/performance.md): the transforms pay from 16 channels on, and where Winograd
// multiplies at most 1 / 1.75 as often as the direct sum, which leaves out taps that see padding.
// Tiles that reach over the edge of the image decide the latter: sides of 4, 6 to 8 and more than 8
// do, 1 to 3 and 5 do not.
constexpr int64_t kLeastChannels = 16;
constexpr double kLeastSaving = 1.75;

// Pairs of an output and a tap that falls inside, along one side of the image.
int64_t taps_inside(int64_t outputs, int64_t inputs, int64_t pad) {
  int64_t count = 0;
  for (int64_t p = 0; p < outputs; ++p)
    for (int64_t r = 0; r < 3; ++r) count += p - pad + r >= 0 && p - pad + r < inputs;
  return count;
}

bool winograd_pays(const Conv2dShape& s) {
  if (std::min(s.C, s.K) < kLeastChannels) return false;
  const int64_t direct = taps_inside(s.P(), s.H, s.pad) * taps_inside(s.Q(), s.W, s.pad),
                winograd = kWinogradPlanes * TileGrid(s.P(), s.Q()).per_image();
  return static_cast<double>(direct) >= kLeastSaving * static_cast<double>(winograd);
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

ConvAlgo conv_algo_for(const Conv2dShape& s, ConvAlgo wanted) {
  if (wanted == ConvAlgo::direct || !winograd_applies(s)) return ConvAlgo::direct;
  if (wanted == ConvAlgo::winograd || winograd_pays(s)) return ConvAlgo::winograd;
  return ConvAlgo::direct;
}

}  // namespace expunge::kernels
