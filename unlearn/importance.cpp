#include "unlearn/importance.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/rng.h"

namespace expunge::unlearn {
namespace {

// The first range of the last linear layer: its weight, with which its bias goes.
int last_layer(const RangeTable& table) {
  int last = -1;
  for (int i = 0; i < table.count(); ++i)
    if (table[i].shape.rank() == 2) last = i;
  EXPUNGE_CHECK(last >= 0, "fisher: a network of {} tensors without a linear layer", table.count());
  return last;
}

// Every element becomes the mean over the inputs: over C of (K, R, S, C), over the columns of
// (out, in).
void average_inputs(const Range& range, float* var) {
  const int64_t in = range.shape[range.shape.rank() - 1];
  for (int64_t row = 0; row < range.size / in; ++row) {
    double sum = 0;
    for (int64_t c = 0; c < in; ++c) sum += double{var[row * in + c]};
    std::fill_n(var + row * in, in, static_cast<float>(sum / static_cast<double>(in)));
  }
}

// Elements of a class in a tensor of the last layer, or none.
std::span<float> class_row(const Range& range, int64_t label, float* data) {
  if (label < 0) return {};
  const int64_t in = range.size / range.shape[0];
  return {data + label * in, static_cast<size_t>(in)};
}

}  // namespace

int64_t dampen(ParamStore& params, const LongSum& of_forget, const LongSum& of_all,
               const SsdConfig& config) {
  int64_t selected = 0;
  const LongSumHere forget = of_forget.here(), all = of_all.here();
  on_host(params.values(), [&](const Tensor& values) {
    float* theta = values.data();
    for (const Range& range : params.parameters())
      for (int64_t i = range.offset; i < range.offset + range.size; ++i) {
        if (!(forget[i] > config.select * all[i])) continue;
        ++selected;
        theta[i] = static_cast<float>(double{theta[i]} *
                                      std::min(1.0, config.dampen * all[i] / forget[i]));
      }
  });
  return selected;
}

Tensor fisher_variance(const ParamStore& params, const LongSum& there, const FisherConfig& config) {
  constexpr double kFloor = 1e-8, kMost = 1e3, kMostLast = 1e2, kMore = 10, kClassRow = 1e-4;
  const Tensor variance = Tensor::zeros({params.parameters().padded_size()});
  const LongSumHere information = there.here();
  const RangeTable& table = params.parameters();
  const int last = last_layer(table);
  for (int p = 0; p < table.count(); ++p) {
    const Range& range = table[p];
    float* var = variance.data() + range.offset;
    const double most = p >= last ? kMostLast : kMost;
    for (int64_t i = 0; i < range.size; ++i)
      var[i] = static_cast<float>(config.alpha *
                                  std::min(1 / (information[range.offset + i] + kFloor), most));
    if (range.shape.rank() > 1) average_inputs(range, var);
    if (p >= last)
      std::ranges::fill(class_row(range, config.forgotten_class, var),
                        static_cast<float>(kClassRow));
    if (p >= last || range.shape.rank() == 1)
      for (int64_t i = 0; i < range.size; ++i) var[i] = static_cast<float>(kMore * double{var[i]});
  }
  return variance;
}

void add_fisher_noise(ParamStore& params, const Tensor& variance, const FisherConfig& config,
                      uint64_t seed) {
  const RangeTable& table = params.parameters();
  const int last = last_layer(table);
  uint64_t element = 0;
  on_host(params.values(), [&](const Tensor& values) {
    for (int p = 0; p < table.count(); ++p) {
      const Range& range = table[p];
      float* theta = values.data() + range.offset;
      if (p >= last) std::ranges::fill(class_row(range, config.forgotten_class, theta), 0.0f);
      for (int64_t i = 0; i < range.size; ++i, ++element) {
        const rng::Draw draw = rng::philox(
            seed, rng::Purpose::perturb,
            {{static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), 1, 0}});
        theta[i] = static_cast<float>(double{theta[i]} +
                                      std::sqrt(double{variance.data()[range.offset + i]}) *
                                          rng::normal_pair(draw.word[0], draw.word[1]).value[0]);
      }
    }
  });
}

}  // namespace expunge::unlearn
