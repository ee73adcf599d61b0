#include "device/twins.h"
#include "support/normal_values.h"
#include "unlearn/step.h"

// Convolutions that read images as they are (kernels/conv2d_image.h), beside those of casts.
namespace expunge {
namespace {

using namespace test;

Tensor normal(const Shape& shape, uint64_t key) {
  const Tensor here(shape);
  const auto values = normal_values(here.size(), key);
  std::ranges::copy(values, here.data());
  return here.to(device());
}

// Of 3 channels to 64, with a loss behind it: y, and gradients by w, bias and, where it is asked
// for, x. Whoever wants that has the casts.
struct Convolved {
  Tensor y{}, dw, dbias, dx;
  DType type = DType::f32;
};
Convolved convolved(const Tensor& x, bool by_x) {
  const Tensor w = normal({64, 3, 3, 3}, 2), bias = normal({64}, 3),
               targets = normal({x.dim(0), 64}, 4);
  Convolved found{.dw = empty_like(w), .dbias = empty_like(bias), .dx = empty_like(x)};
  Tape tape;
  const Ctx ctx{.stream = device(), .tape = &tape};
  const Var of_x = by_x ? tape.leaf(x, {found.dx, 0.0f}) : Var{x},
            of_bias = tape.leaf(bias, {found.dbias, 0.0f});
  const Var y = nn::conv2d(ctx, of_x, tape.leaf(w, {found.dw, 0.0f}), &of_bias, {.pad = 1});
  found.type = y.value.dtype();
  found.y = nn::as_f32(y.value).to({});
  const Var loss = nn::mse(ctx, nn::global_average_pool2d(ctx, y), targets);
  tape.backward(loss);
  for (Tensor* t : {&found.dw, &found.dbias, &found.dx}) *t = t->to({});
  return found;
}

// In units of the largest.
double apart(const Tensor& a, const Tensor& b) {
  double most = 0, size = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(double{a.data()[i]} - double{b.data()[i]}));
    size = std::max(size, std::abs(double{b.data()[i]}));
  }
  return most / size;
}

}  // namespace

TEST_CASE("device: a convolution of images in 16 bits, from them or from casts, is the same") {
  const Tensor x = normal({5, 7, 6, 3}, 1);
  for (const auto precision : {kernels::Precision::bf16, kernels::Precision::fp16}) {
    const WithPrecision with(precision);
    const Convolved direct = convolved(x, false), cast = convolved(x, true);
    CHECK(direct.type == kernels::activation_type());
    CHECK(cast.type == direct.type);
    const double step = precision == kernels::Precision::bf16 ? 0x1p-8 : 0x1p-11;
    CHECK(apart(direct.y, cast.y) <= step);
    CHECK(apart(direct.dw, cast.dw) <= 2 * step);
    CHECK(apart(direct.dbias, cast.dbias) <= step);
    CHECK(apart(direct.dw, cast.dw) > 0);  // there they have 16 bits
  }
  CHECK(convolved(x, false).type == DType::f32);
}

TEST_CASE("device: what images of a batch contribute adds up, slice by slice and in all") {
  const WithPrecision bf16(kernels::Precision::bf16);
  const auto weights = [](const char* estimator) {
    nn::Model model = tiny_model<WideVgg>();
    model.params.move_to(device());
    nn::Optimizer optimizer(model.params, {});
    OnePlace forget(100, 2, false), retain(5000, 2, false);
    unlearn::StepConfig config;
    config.forget = &unlearn::objective("ascent");
    config.retain = &unlearn::objective("ce");
    config.gate = unlearn::GateSpec::parse("focus");
    config.estimator = unlearn::EstimatorSpec::parse(estimator);
    unlearn::UnlearnStep step(model, optimizer, retain, config);
    Batch batch;
    forget.start(0, 0);
    for (int64_t i = 0; forget.next(batch); ++i)
      CHECK(std::isfinite(step.run(batch, {.step = i, .lr = 1e-2f}).loss));
    return model.params.value(model.params.parameters().find("conv.weight")).to({});
  };
  const Tensor whole = weights("paper"), slices = weights("microbatch:3");
  CHECK(apart(slices, whole) > 0);
  CHECK(apart(slices, whole) < 0.05);  // other gates, of the same gradients
}

}  // namespace expunge
