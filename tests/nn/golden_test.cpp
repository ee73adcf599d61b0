#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>

#include "nn/model_file.h"
#include "nn/ops.h"
#include "support/parity.h"
#include "support/tiny_models.h"

// PyTorch's results, computed in double by tools/golden.py and stored as float.
namespace expunge::test {
namespace {

// ||ours - theirs|| / ||theirs||: rounding of float sums over some hundred terms.
constexpr double kOp = 3e-6;
// A network's: roundings of a few layers on top of one another; batch norm of 4 samples divides by
// small deviations.
constexpr double kNetwork = 2e-5;
// After ten steps, each from what the one before rounded; Adam divides by the gradient's own size.
constexpr double kTenSteps = 2e-4;

SafeTensors golden(const char* name) {
  return read_safetensors(std::filesystem::path(EXPUNGE_GOLDEN) / name);
}

const NamedTensor& at(const SafeTensors& file, const std::string& name) {
  const NamedTensor* t = file.find(name);
  REQUIRE_MESSAGE(t != nullptr, name);
  return *t;
}

struct Case {  // the inputs of one operation by name
  const SafeTensors& file;
  std::string name;
  Tape& tape;
  std::map<std::string, Tensor> gradients{};

  Tensor tensor(const std::string& key) const { return nhwc(at(file, name + "/" + key)); }
  Tensor labels() const {
    const Tensor values = tensor("labels");
    Tensor out({values.size()}, DType::i32);
    for (int64_t i = 0; i < values.size(); ++i)
      out.as<int32_t>()[i] = static_cast<int32_t>(values.data()[i]);
    return out;
  }
  Var var(const std::string& key) {
    const Tensor value = tensor(key);
    gradients[key] = empty_like(value);
    return tape.leaf(value, {gradients[key], 0.0f});
  }
};

Var norm(const Ctx& ctx, Case& c, BatchNormMode mode, bool add_relu) {
  Ctx own = ctx;
  own.batch_norm = mode;
  const bool running = mode == BatchNormMode::eval;
  const Var x = c.var("x"), gamma = c.var("gamma"), beta = c.var("beta");
  const Tensor mean = running ? c.tensor("mean") : Tensor::zeros({3}),
               var = running ? c.tensor("var") : Tensor::zeros({3});
  Var residual;
  if (add_relu) residual = c.var("r");
  return nn::batch_norm(own,
                        {.x = x,
                         .gamma = gamma,
                         .beta = beta,
                         .running_mean = mean,
                         .running_var = var,
                         .residual = add_relu ? &residual : nullptr},
                        {.relu = add_relu});
}

using Op = std::function<Var(const Ctx&, Case&)>;

Op conv(nn::Conv2dOptions options, bool biased = false) {
  return [=](const Ctx& ctx, Case& c) {
    const Var x = c.var("x"), w = c.var("w");
    if (!biased) return nn::conv2d(ctx, x, w, nullptr, options);
    const Var b = c.var("b");
    return nn::conv2d(ctx, x, w, &b, options);
  };
}

template <class F>
Op on_x(F f) {
  return [=](const Ctx& ctx, Case& c) { return f(ctx, c.var("x")); };
}

const std::map<std::string, Op>& ops() {
  static const std::map<std::string, Op> table = {
      {"conv2d", conv({.pad = 1})},
      {"conv2d_stride2", conv({.stride = 2, .pad = 1})},
      {"conv2d_1x1", conv({.stride = 2})},
      {"conv2d_5x5_bias", conv({.pad = 2}, true)},
      {"linear",
       [](const Ctx& ctx, Case& c) {
         const Var b = c.var("b");
         return nn::linear(ctx, c.var("x"), c.var("w"), &b);
       }},
      {"batch_norm_train",
       [](const Ctx& ctx, Case& c) { return norm(ctx, c, BatchNormMode::frozen, false); }},
      {"batch_norm_eval",
       [](const Ctx& ctx, Case& c) { return norm(ctx, c, BatchNormMode::eval, false); }},
      {"batch_norm_add_relu",
       [](const Ctx& ctx, Case& c) { return norm(ctx, c, BatchNormMode::frozen, true); }},
      {"relu", on_x(nn::relu)},
      {"gelu", on_x(nn::gelu)},
      {"sigmoid", on_x(nn::sigmoid)},
      {"tanh", on_x(nn::tanh)},
      {"max_pool2d", on_x([](const Ctx& ctx, const Var& x) { return nn::max_pool2d(ctx, x); })},
      {"max_pool2d_3x3", on_x([](const Ctx& ctx, const Var& x) {
         return nn::max_pool2d(ctx, x, {.kernel = 3, .stride = 2, .pad = 1});
       })},
      {"average_pool2d", on_x([](const Ctx& ctx, const Var& x) {
         return nn::average_pool2d(ctx, x, {.kernel = 3, .stride = 2, .pad = 1});
       })},
      {"adaptive_average_pool2d", on_x([](const Ctx& ctx, const Var& x) {
         return nn::adaptive_average_pool2d(ctx, x, 3, 2);
       })},
      {"global_average_pool2d", on_x(nn::global_average_pool2d)},
      {"cross_entropy",
       [](const Ctx& ctx, Case& c) { return nn::cross_entropy(ctx, c.var("x"), c.labels()); }},
      {"cross_entropy_smooth",
       [](const Ctx& ctx, Case& c) {
         return nn::cross_entropy(ctx, c.var("x"), c.labels(), 0.1f);
       }},
      {"soft_cross_entropy",
       [](const Ctx& ctx, Case& c) {
         return nn::soft_cross_entropy(ctx, c.var("x"), c.tensor("targets"));
       }},
      {"kl_divergence",
       [](const Ctx& ctx, Case& c) {
         return nn::kl_divergence(ctx, c.var("x"), c.tensor("teacher"), 2);
       }},
      {"mse",
       [](const Ctx& ctx, Case& c) { return nn::mse(ctx, c.var("x"), c.tensor("targets")); }},
  };
  return table;
}

double norm(std::span<const float> values) {
  double sum = 0;
  for (float v : values) sum += double{v} * double{v};
  return std::sqrt(sum);
}

// A bias in front of a batch norm: its gradient is 0 but for rounding, and Adam's step is of the
// size of its rate whatever the size of the gradient, so rounding alone says where it goes.
bool only_rounding_moves(const SafeTensors& file, const std::string& prefix,
                         const std::string& name, double gradient) {
  if (prefix != "adam/" || !name.starts_with("after/")) return false;
  const NamedTensor* g = file.find(prefix + "grad/" + name.substr(6));
  return g != nullptr && norm(g->values.span()) < 1e-4 * gradient;
}

// Ten steps of at most the rate 0.001, to either side.
void check_adam_noise(const NamedTensor& ours, const NamedTensor& theirs) {
  for (int64_t i = 0; i < ours.values.size(); ++i)
    CHECK_MESSAGE(std::abs(ours.values.data()[i] - theirs.values.data()[i]) <= 2 * 10 * 0.001,
                  ours.name);
}

// Every tensor of `ours` that the file has under `prefix`; returns how many.
int compare(const std::vector<NamedTensor>& ours, const SafeTensors& file,
            const std::string& prefix) {
  int compared = 0;
  double gradient = 0;
  for (const NamedTensor& t : file.tensors)
    if (t.name.starts_with(prefix + "grad/"))
      gradient = std::hypot(gradient, norm(t.values.span()));
  for (const NamedTensor& t : ours) {
    const NamedTensor* theirs = file.find(prefix + t.name);
    if (theirs == nullptr) continue;
    CHECK_MESSAGE(theirs->shape == t.shape, t.name);
    const bool later = t.name.starts_with("after/") || t.name == "losses";
    if (later && only_rounding_moves(file, prefix, t.name, gradient)) {
      check_adam_noise(t, *theirs);
      ++compared;
      continue;
    }
    double d = distance(t.values.span(), theirs->values.span());
    // of a bias in front of a batch norm, 0 but for rounding: as a part of the whole gradient
    if (norm(theirs->values.span()) < 1e-4 * gradient) d *= norm(theirs->values.span()) / gradient;
    CHECK_MESSAGE(d <= (later ? kTenSteps : kNetwork), prefix << t.name << " differs by " << d);
    ++compared;
  }
  return compared;
}

template <class Net>
void check_network(const char* name) {
  const SafeTensors file = golden(name);
  // RATES of tools/golden.py
  for (const auto& [optimizer, lr] :
       {std::pair<std::string, double>{"sgd", 0.05}, {"adam", 0.001}}) {
    nn::Model model =
        nn::build<Net>("tiny", {.height = 8, .width = 8, .channels = 3, .classes = 5});
    SafeTensors weights;
    int expected = 0;
    for (const NamedTensor& t : file.tensors) {
      if (t.name.starts_with("w/"))
        weights.tensors.push_back({t.name.substr(2), t.shape, t.values});
      expected += t.name.starts_with(optimizer + "/");
    }
    nn::fill_model(weights, name, model);
    const auto ours = parity(model, at(file, "x"), at(file, "labels"), optimizer, lr);
    CHECK(compare(ours, file, optimizer + "/") == expected);
  }
}

}  // namespace

TEST_CASE("golden: every operation has PyTorch's value and gradients") {
  const SafeTensors file = golden("operations.safetensors");
  int compared = 0;
  for (const auto& [name, op] : ops()) {
    CAPTURE(name);
    Tape tape;
    Case c{file, name, tape};
    const Ctx ctx{.tape = &tape, .mode = Mode::train};
    const Var y = op(ctx, c);
    const Tensor expected = c.tensor("y"), seed = c.tensor("dy");
    CHECK(distance(y.value.span(), expected.span()) <= kOp);
    const Var loss = ctx.record(Tensor({1}), {&y}, [&](Tape& t, const Tensor&) {
      const auto [dy, beta] = t.sink(y);
      REQUIRE(beta == 0.0f);
      std::ranges::copy(seed.span(), dy.data());
    });
    tape.backward(loss);
    for (const auto& [key, gradient] : c.gradients) {
      const Tensor theirs = c.tensor("d" + key);
      CHECK_MESSAGE(distance(gradient.span(), theirs.span()) <= kOp, key);
      ++compared;
    }
  }
  int stored = 0;
  for (const NamedTensor& t : file.tensors)
    stored += t.name.find("/d") != t.name.npos && !t.name.ends_with("/dy");
  CHECK(compared == stored);
}

TEST_CASE("golden: a residual block trains as in PyTorch, ten SGD and ten Adam steps") {
  check_network<TinyResNet>("residual_block.safetensors");
}

TEST_CASE("golden: a VGG head behind a flattened map trains as in PyTorch") {
  check_network<TinyVgg>("vgg_head.safetensors");
}

}  // namespace expunge::test
