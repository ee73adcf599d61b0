#include <cmath>
#include <cstring>

#include "core/side_stream.h"
#include "core/work_graph.h"
#include "device/twins.h"
#include "kernels/elementwise.h"
#include "kernels/elementwise_math.h"
#include "nn/supervised_step.h"
#include "support/with_algo.h"

namespace expunge {
namespace {

using namespace test;

struct Trained {
  std::vector<double> losses, norms;
  std::vector<int64_t> correct;
  Tensor weights;
  bool recorded = false;
};

// Full batches at one place, and among them one that is shorter.
struct Way {
  bool record, overlap = true;
};
template <class Network>
Trained train(const nn::OptimConfig& config, Way way) {
  nn::Model model = tiny_model<Network>();
  model.params.move_to(device());
  nn::Optimizer optimizer(model.params, config);
  nn::SupervisedStep step(model, optimizer,
                          {.label_smoothing = 0.1f, .record = way.record, .overlap = way.overlap});
  const ImagesAt images(device(), 100, 3);
  Tensor x;
  Trained result;
  for (int i = 0; i < 8; ++i) {
    Batch batch = images.at(0, i % 3);
    if (!x) x = batch.x.clone();
    x.copy_from(batch.x);
    batch.x = x;
    if (i == 4) {
      const int64_t fewer = batch.size() - 1;
      batch.x = x.slice(0, {fewer, x.dim(1), x.dim(2), x.dim(3)});
      batch.labels = batch.labels.slice(0, {fewer});
    }
    const float lr = 0.01f * static_cast<float>(i + 1);
    const nn::StepResult found = step.run(batch, {.seed = 1, .step = i, .lr = lr});
    result.losses.push_back(found.loss);
    result.norms.push_back(found.grad_norm);
    result.correct.push_back(found.correct);
  }
  result.recorded = step.has_recorded();
  result.weights = model.params.values().to({}).clone();
  return result;
}

void check_same(const Trained& a, const Trained& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.norms == b.norms);
  CHECK(a.correct == b.correct);
  CHECK(std::ranges::equal(a.weights.span(), b.weights.span()));
}

}  // namespace

TEST_CASE("device: recorded steps have the bits of steps call by call") {
  for (const auto kind : {nn::OptimKind::sgd, nn::OptimKind::adam}) {
    const nn::OptimConfig config{.kind = kind, .momentum = 0.9f, .weight_decay = 1e-2f};
    const Trained whole = train<Dropping>(config, {true}), calls = train<Dropping>(config, {false});
    CHECK(whole.recorded);
    CHECK_FALSE(calls.recorded);
    check_same(whole, calls);
    CHECK(calls.losses.front() != calls.losses.back());
  }
}

TEST_CASE("device: a recorded step clips the gradient of its time") {
  constexpr float kMost = 0.1f;
  const nn::OptimConfig clipped{.clip_norm = kMost};
  const Trained clipping = train<TinyVgg>(clipped, {true});
  CHECK(clipping.recorded);
  check_same(clipping, train<TinyVgg>(clipped, {false}));
  for (const double norm : clipping.norms) CHECK(norm > double{kMost});
  CHECK(clipping.norms.front() != clipping.norms.back());
  const Trained unclipped = train<TinyVgg>({}, {true});
  CHECK(unclipped.norms.back() == 0);  // nobody asked
  CHECK(unclipped.losses.back() != clipping.losses.back());
}

// The emulated side stream does what it is given as late as it may: what is read without waiting
// for it, or given away before, shows.
TEST_CASE_TEMPLATE("device: gradients of weights beside the pass have the bits of those in it",
                   Network, TinyResNet, WideVgg) {
  for (const auto precision : {kernels::Precision::fp32, kernels::Precision::bf16}) {
    const WithPrecision with(precision);
    const Trained in_order = train<Network>({}, {.record = false, .overlap = false});
    check_same(train<Network>({}, {.record = false, .overlap = true}), in_order);
    const Trained recorded = train<Network>({}, {.record = true, .overlap = true});
    CHECK(recorded.recorded);
    check_same(recorded, in_order);
  }
}

// Several kernels and products a convolution, in memory that is given back at its end.
TEST_CASE_TEMPLATE("device: steps by Winograd, recorded and call by call", Network, TinyResNet,
                   WideVgg) {
  const auto by = [](kernels::ConvAlgo algo, Way way) {
    const WithAlgo with(algo);
    return train<Network>({}, way);
  };
  const Trained direct = by(kernels::ConvAlgo::direct, {.record = false}),
                winograd = by(kernels::ConvAlgo::winograd, {.record = false, .overlap = false}),
                recorded = by(kernels::ConvAlgo::winograd, {.record = true});
  CHECK(recorded.recorded);
  check_same(recorded, winograd);
  CHECK_FALSE(std::ranges::equal(direct.weights.span(), winograd.weights.span()));
  for (size_t i = 0; i < direct.losses.size(); ++i)
    CHECK(std::abs(direct.losses[i] - winograd.losses[i]) <= 1e-4 * direct.losses[i]);
}

// Channels enough for kernels/conv2d_taps.h.
class Wide64 final : public nn::Network {
 public:
  Wide64(ParamStore& params, const nn::InputSpec& spec)
      : first_{{params, "first", 3, 64, {.bias = true}}, {params, "bn1", 64}},
        second_{{params, "second", 64, 64, {}}, {params, "bn2", 64}},
        fc_(params, "fc", 4 * 4 * 64, spec.classes, {4, 4, 64}) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    return fc_(ctx, nn::flatten(ctx, second_.relu_pool(ctx, first_.relu(ctx, x))));
  }

 private:
  nn::ConvBatchNorm first_, second_;
  nn::LinearLayer fc_;
};

TEST_CASE("device: steps with gradients of weights by taps, recorded and call by call") {
  const auto by = [](kernels::Precision precision, Way way) {
    const WithPrecision with(precision);
    return train<Wide64>({}, way);
  };
  using enum kernels::Precision;
  const Trained exact = by(fp32, {.record = false});
  for (const auto precision : {tf32, bf16, fp16}) {
    const Trained calls = by(precision, {.record = false, .overlap = false}),
                  recorded = by(precision, {.record = true});
    CHECK(recorded.recorded);
    check_same(recorded, calls);
    CHECK_FALSE(std::ranges::equal(exact.weights.span(), calls.weights.span()));
    for (size_t i = 0; i < 3; ++i)  // later steps amplify it
      CHECK(std::abs(exact.losses[i] - calls.losses[i]) <= 2e-2 * exact.losses[i]);
  }
}

// On a GPU the work is long enough that reading its result without waiting shows.
TEST_CASE("device: long work in the side stream is waited for") {
  constexpr int64_t kElements = kCudaEmulated ? 100 : int64_t{1} << 24;
  constexpr int kTimes = kCudaEmulated ? 3 : 100;
  const Stream stream = device();
  SideStream& side = SideStream::of(stream);
  const Tensor x(Shape{kElements}, DType::f32, stream), y(Shape{kElements}, DType::f32, stream);
  const auto work = [&] {
    x.zero();
    y.zero();
    const Tensor one = Tensor(Shape{kElements}, DType::f32, stream);
    kernels::elementwise<math::Sigmoid>(stream, kElements, x.data(), one.data());  // 1/2
    side.run({one, x}, [&](Stream at) {
      for (int i = 0; i < kTimes; ++i)
        kernels::axpby(at, kElements, 2.0f, one.data(), 1.0f, x.data());
    });
    side.join();
    kernels::axpby(stream, kElements, 1.0f, x.data(), 0.0f, y.data());
  };
  work();
  CHECK(y.to({}).span().back() == kTimes);
  const WorkGraph graph(stream, work);
  for (int i = 0; i < 2; ++i) {
    graph.launch();
    CHECK(y.to({}).span().back() == kTimes);
  }
}

TEST_CASE("device: a parameter whose gradient comes from beside the pass and from in it") {
  ParamStore params;
  const int w = params.add_parameter({.name = "w", .shape = {4, 3, 3, 3}, .layout = Layout::krsc});
  params.allocate();
  params.value(w).copy_from(to_tensor(normal_values(4 * 3 * 3 * 3, 1), {4, 3, 3, 3}));
  params.move_to(device());
  const Tensor x = to_tensor(normal_values(2 * 8 * 8 * 3, 2), {2, 8, 8, 3}).to(device());
  const auto gradient = [&](bool overlap) {
    const Tensor grads = params.make_buffer();
    Tape tape;
    tape.set_overlap(overlap);
    tape.bind(params, {grads, 0.0f});
    const Ctx ctx{.stream = device(), .params = &params, .tape = &tape};
    const Var penalty = nn::l2(ctx, ctx.param(w));
    const Var once = nn::l2(ctx, nn::conv2d(ctx, {x, Var::kNone}, ctx.param(w), nullptr, {}));
    tape.backward(nn::add(ctx, penalty, once));
    return grads.to({}).clone();
  };
  const Tensor in_order = gradient(false), beside = gradient(true);
  CHECK(std::ranges::equal(in_order.span(), beside.span()));
}

TEST_CASE("device: what the side stream makes for itself nobody else gets") {
  const Stream stream = device();
  SideStream& side = SideStream::of(stream);
  const Tensor x = Tensor::of({1, 2, 3}).to(stream), y(Shape{3}, DType::f32, stream);
  side.run({x, y}, [&](Stream at) {
    const Tensor own(Shape{3}, DType::f32, at);
    kernels::axpby(at, 3, 2.0f, x.data(), 0.0f, own.data());
    kernels::axpby(at, 3, 1.0f, own.data(), 0.0f, y.data());
  });
  const Tensor other = Tensor::zeros(Shape{3}, DType::f32, stream);
  CHECK(other.stream().cuda == stream.cuda);
  side.join();
  CHECK(y.to({}).span()[2] == 6.0f);
  CHECK(other.to({}).span()[2] == 0.0f);
}

TEST_CASE("device: after an error the side stream's work is waited for") {
  const Stream stream = device();
  SideStream& side = SideStream::of(stream);
  const Tensor x = Tensor::of({1, 2, 3}).to(stream),
               y = Tensor::zeros(Shape{3}, DType::f32, stream);
  const auto twice = [&](Stream at) { kernels::axpby(at, 3, 2.0f, x.data(), 0.0f, y.data()); };
  side.run({x, y}, twice);
  side.abandon();
  CHECK(y.to({}).span()[2] == 6.0f);
  // in a recording that is given up nothing is done, and both streams work on
  CHECK_THROWS_AS(WorkGraph(stream,
                            [&] {
                              side.run({x, y}, twice);
                              x.copy_from(Tensor::of({1, 1, 1}));
                            }),
                  Error);
  side.abandon();
  y.zero();
  const WorkGraph graph(stream, [&] {
    side.run({x, y}, twice);
    side.join();
    kernels::axpby(stream, 3, 1.0f, y.data(), 0.0f, x.data());
  });
  for (const float expected : {6.0f, 12.0f}) {
    graph.launch();
    CHECK(x.to({}).span()[2] == expected);
  }
}

TEST_CASE("device: after a loss that is not finite a recorded step changes no weight") {
  nn::Model model = tiny_model<TinyResNet>();
  model.params.move_to(device());
  nn::Optimizer optimizer(model.params, {});
  nn::SupervisedStep step(model, optimizer);
  const ImagesAt images(device(), 100, 1);
  const Batch batch = images.at(0, 0);
  for (int i = 0; i < 3; ++i) step.run(batch, {.step = i, .lr = 0.01f});
  REQUIRE(step.has_recorded());
  Range last{};  // the biases of the last layer
  for (const Range& range : model.params.parameters()) last = range;
  model.params.values().slice(last.offset, {1}).copy_from(Tensor::of({std::nanf("")}));
  const Tensor before = model.params.values().to({}).clone();
  CHECK(std::isnan(step.run(batch, {.step = 3, .lr = 0.01f}).loss));
  const Tensor after = model.params.values().to({});
  CHECK(std::memcmp(before.data(), after.data(), before.span().size_bytes()) == 0);
}

TEST_CASE("device: a graph's memory is its own") {
  const Stream stream = device();
  const Tensor x = Tensor::of({1, 2, 3}).to(stream), y(Shape{3}, DType::f32, stream);
  const auto held = pool_stats(Device::cuda).bytes_held;
  {
    const WorkGraph graph(stream, [&] {
      const Tensor twice(Shape{3}, DType::f32, stream);
      kernels::axpby(stream, 3, 2.0f, x.data(), 0.0f, twice.data());
      kernels::axpby(stream, 3, 1.0f, twice.data(), 0.0f, y.data());
    });
    std::vector<Tensor> others;  // as large: none gets the graph's block
    for (int i = 0; i < 8; ++i) {
      others.emplace_back(Shape{3}, DType::f32, stream);
      others.back().zero();
    }
    y.zero();
    for (int i = 0; i < 2; ++i) {
      graph.launch();
      CHECK(y.to({}).span()[2] == 6.0f);
      for (const Tensor& other : others) CHECK(other.to({}).span()[2] == 0.0f);
      x.copy_from(Tensor::of({1, 2, 3}));
    }
    x.copy_from(Tensor::of({0, 0, 5}));
    graph.launch();
    CHECK(y.to({}).span()[2] == 10.0f);
    CHECK_THROWS_AS(WorkGraph(stream, [&] { x.copy_from(Tensor::of({1, 1, 1})); }), Error);
    CHECK(y.to({}).span()[2] == 10.0f);  // the stream works as before
  }
  pool_trim();
  CHECK(pool_stats(Device::cuda).bytes_held <= held);
}

TEST_CASE("device: what is sent may change at once") {
  const Stream stream = device();
  const Tensor here = Tensor(Shape{4});
  std::vector<Tensor> there;
  for (int i = 0; i < 100; ++i) {  // more than there are pages to send from
    here.data()[3] = static_cast<float>(i);
    there.push_back(here.to(stream));
  }
  for (int i = 0; i < 100; ++i) CHECK(there[static_cast<size_t>(i)].to({}).data()[3] == i);
}

}  // namespace expunge
