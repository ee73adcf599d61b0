#include "unlearn/shadow_class.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/rng.h"

namespace expunge::unlearn {
namespace {

// Indices of the last layer's parameters.
struct LastLayer {
  int weight, bias;
};

LastLayer last_layer(const nn::Model& model) {
  const RangeTable& table = model.params.parameters();
  const int bias = table.count() - 1, weight = bias - 1;
  const int64_t C = model.spec.classes;
  if (weight < 0 || table[weight].shape.rank() != 2 || table[weight].shape[0] != C ||
      table[bias].shape != Shape{C})
    fail(ExitCode::usage,
         "boundary-expand: the last parameters of {} are not a linear layer with {} outputs and a "
         "bias, which it adds a class to",
         model.name, C);
  return {weight, bias};
}

// row (in), bias (1)
void draw_row(const Tensor& row, const Tensor& bias, ShadowRow kind, int64_t classes,
              uint64_t seed) {
  const auto in = static_cast<double>(row.size());
  const double std = std::sqrt(2.0 / (in + static_cast<double>(classes))),
               bound = 1.0 / std::sqrt(in);
  const auto value = [&](int64_t i) {
    const rng::Draw draw =
        rng::philox(seed, rng::Purpose::shadow, {{static_cast<uint32_t>(i), 0, 0, 0}});
    return static_cast<float>(kind == ShadowRow::pytorch
                                  ? (2.0 * double{rng::uniform(draw.word[0])} - 1.0) * bound
                                  : std * rng::normal_pair(draw.word[0], draw.word[1]).value[0]);
  };
  on_host(row, [&](const Tensor& here) {
    for (int64_t i = 0; i < here.size(); ++i) here.data()[i] = value(i);
  });
  bias.copy_from(Tensor::of({kind == ShadowRow::pytorch ? value(row.size()) : 0.0f}));
}

}  // namespace

nn::Model with_shadow_class(const nn::Model& model, ShadowRow row, uint64_t seed) {
  const LastLayer last = last_layer(model);
  const int64_t C = model.spec.classes;
  std::array<Range, 2> changed = {model.params.parameters()[last.weight],
                                  model.params.parameters()[last.bias]};
  const int64_t in = changed[0].shape[1];
  changed[0].shape = {C + 1, in};
  changed[1].shape = {C + 1};
  nn::Model wide = nn::make_model(model.name, model.spec);  // for its network
  wide.params = model.params.clone_with(changed);
  ++wide.spec.classes;
  draw_row(wide.params.value(last.weight).slice(C * in, {in}),
           wide.params.value(last.bias).slice(C, {1}), row, C + 1, seed);
  return wide;
}

void drop_shadow_class(const nn::Model& widened, nn::Model& into) {
  EXPUNGE_CHECK(widened.spec.classes == into.spec.classes + 1, "shadow class: {} of {} classes",
                widened.spec.classes, into.spec.classes);
  for (int p = 0; p < into.params.parameters().count(); ++p) {
    const Tensor to = into.params.value(p);
    to.copy_from(widened.params.value(p).slice(0, to.shape()));
  }
  into.params.statistic_values().copy_from(widened.params.statistic_values());
}

}  // namespace expunge::unlearn
