#include <cmath>
#include <numbers>

#include "core/rng.h"
#include "nn/network.h"

namespace expunge::nn {
namespace {

// Inputs that one output of the layer sums over, and outputs that one input reaches.
struct Fan {
  double in, out;
};

Fan fan(const Range& weight) {
  double receptive = 1;
  for (int d = 1; d + 1 < weight.shape.rank(); ++d)
    receptive *= static_cast<double>(weight.shape[d]);
  return {static_cast<double>(weight.shape[weight.shape.rank() - 1]) * receptive,
          static_cast<double>(weight.shape[0]) * receptive};
}

// Element i comes from word i mod 4 of draw i / 4.
template <class Map>
void draw(const Tensor& values, int parameter, uint64_t seed, Map map) {
  for (int64_t i = 0; i < values.size(); i += 4) {
    const rng::Draw words =
        rng::philox(seed, rng::Purpose::init,
                    {{static_cast<uint32_t>(parameter), static_cast<uint32_t>(i / 4),
                      static_cast<uint32_t>((i / 4) >> 32), 0}});
    for (int64_t k = i; k < i + 4 && k < values.size(); ++k) values.data()[k] = map(words, k - i);
  }
}

void draw_uniform(const Tensor& values, int parameter, uint64_t seed, double bound) {
  draw(values, parameter, seed, [=](const rng::Draw& draw, int64_t k) {
    return static_cast<float>((2.0 * double{rng::uniform(draw.word[k])} - 1.0) * bound);
  });
}

void draw_normal(const Tensor& values, int parameter, uint64_t seed, double std) {
  draw(values, parameter, seed, [=](const rng::Draw& draw, int64_t k) {
    const uint32_t* pair = draw.word + (k & ~int64_t{1});
    return static_cast<float>(std * rng::normal_pair(pair[0], pair[1]).value[k % 2]);
  });
}

void fill(const Tensor& values, float value) {
  for (float& v : values.span()) v = value;
}

}  // namespace

void initialise(ParamStore& params, Init init, uint64_t seed) {
  on_host(params.values(), [&](const Tensor& all) {
    all.zero();
    double bias_bound = 0;  // of the weight that a bias follows
    for (int p = 0; p < params.parameters().count(); ++p) {
      const Range& range = params.parameters()[p];
      const Tensor values = ParamStore::view(all, range);
      if (range.role == Role::norm) {
        fill(values, range.name.ends_with(".weight") ? 1.0f : 0.0f);
      } else if (range.role == Role::bias) {
        if (init == Init::pytorch) draw_uniform(values, p, seed, bias_bound);
      } else {
        bias_bound = 1.0 / std::sqrt(fan(range).in);
        if (init == Init::pytorch)
          draw_uniform(values, p, seed, bias_bound);
        else
          draw_normal(values, p, seed,
                      range.shape.rank() == 4 ? std::sqrt(2.0 / fan(range).out) : 0.01);
      }
    }
  });
  on_host(params.statistic_values(), [&](const Tensor& all) {
    for (const Range& range : params.statistics())
      fill(ParamStore::view(all, range), range.name.ends_with("var") ? 1.0f : 0.0f);
  });
}

}  // namespace expunge::nn
