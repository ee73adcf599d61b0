#include <cmath>
#include <initializer_list>
#include <vector>

#include "device/twins.h"
#include "kernels/conv2d_image.h"
#include "support/normal_values.h"

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
    CHECK(apart(direct.y, cast.y) <= 2 * step);  // there the bias is added to what was rounded
    CHECK(apart(direct.dw, cast.dw) <= 2 * step);
    CHECK(apart(direct.dbias, cast.dbias) <= step);
    CHECK(apart(direct.dw, cast.dw) > 0);  // there they have 16 bits
  }
  CHECK(convolved(x, false).type == DType::f32);
}

TEST_CASE("device: with the batch norm of evaluation it has the bits of the two operations") {
  const Var x{normal({3, 6, 5, 3}, 1)}, w{normal({32, 3, 3, 3}, 2)}, bias{normal({32}, 3)};
  const Tensor positive = normal({32}, 4).to({});
  for (float& v : positive.span()) v = std::abs(v) + 0.5f;
  const Ctx ctx{.stream = device()};
  std::vector<Tensor> found;
  using enum kernels::Precision;
  for (const auto precision : {fp32, tf32, bf16, fp16}) {
    const WithPrecision with(precision);
    const Var residual = nn::cast(ctx, {normal({3, 6, 5, 32}, 5)}, kernels::activation_type());
    for (const bool adds : {false, true})
      for (const Var* b : {static_cast<const Var*>(nullptr), &bias}) {
        nn::BatchNormInputs in{.x = x,
                               .gamma = {normal({32}, 6)},
                               .beta = {normal({32}, 7)},
                               .running_mean = normal({32}, 8),
                               .running_var = positive.to(device()),
                               .residual = adds ? &residual : nullptr};
        const Var one = nn::conv2d_batch_norm(ctx, w, b, {.pad = 1}, in, {.relu = true});
        in.x = nn::conv2d(ctx, x, w, b, {.pad = 1});
        const Var two = nn::batch_norm(ctx, in, {.relu = true});
        CHECK(one.value.dtype() == kernels::activation_type());
        found.push_back(nn::as_f32(one.value).to({}));
        CHECK(apart(found.back(), nn::as_f32(two.value).to({})) == 0);
      }
  }
  for (size_t i = 0; i < found.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(apart(found[i], found[j]) > 0);  // each its own
}

TEST_CASE("device: what images of a batch contribute adds up, slice by slice and in all") {
  const kernels::Conv2dShape shape{
      .N = 5, .H = 7, .W = 6, .C = 3, .K = 64, .R = 3, .S = 3, .stride = 1, .pad = 1};
  const Tensor x = normal({5, 7, 6, 3}, 1), dy = normal({5, 7, 6, 64}, 2);
  const auto gradient = [&](std::initializer_list<int64_t> cuts) {
    const Tensor dw = normal({64, 3, 3, 3}, 3);
    float beta = 0;
    for (const int64_t* cut = cuts.begin(); cut + 1 < cuts.end(); ++cut, beta = 1)
      kernels::conv2d_image_backward_weights(device(), shape, cut[0], cut[1], x.data(), dy.values(),
                                             beta, dw.data());
    return dw.to({});
  };
  const Tensor whole = gradient({0, 5});
  CHECK(apart(gradient({0, 2, 3, 5}), whole) < 1e-5);
  CHECK(apart(gradient({0, 2, 4}), whole) > 0.1);  // an image short
}

TEST_CASE("device: convolutions of images refuse what they are not made for") {
  kernels::Conv2dShape shape{
      .N = 1, .H = 4, .W = 4, .C = 3, .K = 32, .R = 3, .S = 3, .stride = 1, .pad = 1};
  const auto run = [&](Stream stream) {
    kernels::conv2d_image(stream, shape, nullptr, nullptr, nullptr, static_cast<float*>(nullptr));
  };
  CHECK_THROWS_AS(run({}), Error);
  shape.K = 33;
  CHECK_THROWS_AS(run(device()), Error);
}

}  // namespace expunge
