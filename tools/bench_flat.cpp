#include <algorithm>
#include <cmath>

#include "kernels/long_sum.h"
#include "kernels/loss_scale.h"
#include "kernels/slice_moments.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"
#include "tools/bench_unlearn.h"

namespace expunge::tools {
namespace {

constexpr int64_t kStride = 97;  // elements between those that are compared
// An update is lr x a number near 1: a thousandth of lr = 1e-3. Float rounds values near 1 to 6e-8.
constexpr double kUpdateTolerance = 1e-6;
constexpr StepScalars kFirstStep{.lr = 1e-3f};
constexpr int64_t kStateFloats = sizeof(kernels::LossScaleState) / sizeof(float);

// The first step of an optimizer on the model's flat buffers.
KernelRun optimizer_step(const std::string& model, nn::OptimConfig config,
                         const std::string& name) {
  struct Problem {
    nn::Model model;
    nn::Optimizer optimizer;
    Tensor gradient, before;  // before: on the CPU
  };
  nn::Model built = nn::make_model(model, {});
  nn::Optimizer optimizer(built.params, config);
  const Tensor gradient_there = built.params.make_buffer();
  const BenchBuffer gradient = BenchBuffer::of(gradient_there),
                    value = BenchBuffer::of(built.params.values());
  fill_uniform(gradient.here(), 1), fill_uniform(value.here(), 2);
  gradient.send(), value.send();
  const auto p = std::make_shared<Problem>(
      Problem{std::move(built), std::move(optimizer), gradient_there, value.here().clone()});
  const bool adam = config.kind != nn::OptimKind::sgd;
  KernelRun run{.result = value.here()};
  run.bytes = (adam ? 7 : 5) * value.bytes();  // read g; value, state both
  p->optimizer.prepare(kFirstStep);
  run.call = [p] { p->optimizer.apply(p->model.params, p->gradient); };
  run.check = [=] {
    value.fetch();
    check_elements(name, value.here(), kStride, kUpdateTolerance, [&](int64_t i) {
      const double w = double{p->before.data()[i]};
      const double g = gradient.at(i) + double{config.weight_decay} * w;
      // Adam's first step: m / bias1 = g, s / bias2 = g^2
      return w - double{kFirstStep.lr} * (adam ? g / (std::abs(g) + double{config.eps}) : g);
    });
  };
  return run;
}

// What fp16 does to gradients.
struct Unscaling {
  BenchBuffer grad, overflow{{1}}, scale{{kStateFloats}};
  Unscaling(int64_t n, float S) : grad(BenchBuffer::drawn({n}, 1)) {
    overflow.here().zero(), scale.here().zero();
    scale.here().data()[0] = S;
    overflow.send(), scale.send();
  }
  void run() const {
    kernels::unscale(compute_stream(), grad.here().size(),
                     reinterpret_cast<const kernels::LossScaleState*>(scale.data()), grad.data(),
                     overflow.data());
  }
};

// Timed at S = 1, which leaves gradients as they are, call after call; checked at another, in
// buffers of its own.
KernelRun unscale(int64_t n, const std::string& name) {
  const Unscaling timed(n, 1);
  return {.call = [=] { timed.run(); },
          .check =
              [=] {
                constexpr float S = 4;
                const Unscaling once(n, S);
                const Tensor before = once.grad.here().clone();
                once.run();
                once.grad.fetch();
                check_elements(name, once.grad.here(), kStride, 0,
                               [&](int64_t i) { return double{before.data()[i] / S}; });
              },
          .result = {},
          .bytes = 2 * timed.grad.bytes()};
}

// What ssd and fisher gather: long sums of squares of gradients.
KernelRun sum_squares(int64_t n, const std::string& name) {
  constexpr double kScale = 0.01;
  const BenchBuffer x = BenchBuffer::drawn({n}, 1), value({n}), rest({n});
  value.here().zero(), rest.here().zero();
  value.send(), rest.send();
  KernelRun run{.result = value.here()};
  run.bytes = x.bytes() + 2 * bytes_of({value, rest});
  run.call = [=] {
    kernels::add_squares_to(compute_stream(), n, kScale, x.data(), {value.data(), rest.data()});
  };
  run.check = [=] {
    value.fetch();
    check_elements(name, value.here(), kStride, kUpdateTolerance,
                   [&](int64_t i) { return kScale * x.at(i) * x.at(i); });
  };
  return run;
}

// A tensor's mean gradient and its squared error from so many slices of a batch, all of them new.
KernelRun slice_moments(int64_t n, const std::string& name) {
  constexpr int64_t k = kSlicesTogether;
  const BenchBuffer c = BenchBuffer::drawn({k, n}, 1), sum({n}), squared_error({n});
  KernelRun run{.result = squared_error.here()};
  run.bytes = c.bytes() + bytes_of({sum, squared_error});
  run.call = [=] {
    kernels::slice_moments(compute_stream(), n, kernels::slice_rules({k, k, 0, k}), c.data(), n,
                           sum.data(), squared_error.data());
  };
  run.check = [=] {
    squared_error.fetch();
    check_elements(name, squared_error.here(), kStride, 1e-5, [&](int64_t i) {
      double mean = 0, squares = 0;
      for (int64_t j = 0; j < k; ++j) mean += c.at(j * n + i);
      for (int64_t j = 0; j < k; ++j) squares += std::pow(k * c.at(j * n + i) - mean, 2);
      return squares / (k * (k - 1));
    });
  };
  return run;
}

int64_t largest_tensor(const nn::Model& model) {
  const RangeTable& table = model.params.parameters();
  return std::ranges::max_element(table, {}, [](const Range& r) { return r.size; })->size;
}

KernelRun update_step(const BenchUnlearn& options) {
  const auto problem = std::make_shared<UpdateProblem>(options);
  const int64_t parameters = problem->model.params.parameters().size();
  return {.call = [problem] { problem->step(); },  // recorded: always the same step, as much work
          .check = [options] { check_update(options); },
          .result = {},
          .bytes = static_cast<double>(bytes_per_parameter(options, *problem) * parameters),
          .waits = options.gate.row->scope != unlearn::Scope::element ||
                   !problem->update.may_come_first()};
}

}  // namespace

void add_flat_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models) {
  for (const std::string& model : models) {
    const nn::Model built = nn::make_model(model, {});
    const int64_t count = built.parameter_count(), largest = largest_tensor(built);
    const std::string label = fmt::format("{} {} parameters", model, count);
    const auto add = [&](std::string kernel, auto prepare) {
      add_case(rows, {std::move(kernel), label, {}, prepare});
    };
    for (nn::OptimKind kind : {nn::OptimKind::sgd, nn::OptimKind::adam})
      add(kind == nn::OptimKind::sgd ? "sgd_step" : "adam_step",
          [=](const std::string& name) { return optimizer_step(model, {.kind = kind}, name); });
    if (compute_stream().device == Device::cuda)
      add("unscale", [=](const std::string& name) { return unscale(count, name); });
    add("add_squares_to", [=](const std::string& name) { return sum_squares(count, name); });
    add_case(rows, {"slice_moments",
                    fmt::format("{} {} x {} slices", model, largest, kSlicesTogether),
                    {},
                    [=](const std::string& name) { return slice_moments(largest, name); }});
    const auto update = [&](const std::string& kernel, const char* gate, const char* estimator) {
      const BenchUnlearn options{.model = model,
                                 .gate = unlearn::GateSpec::parse(gate),
                                 .estimator = unlearn::EstimatorSpec::parse(estimator)};
      add(kernel, [=](const std::string&) { return update_step(options); });
    };
    for (const std::string gate : {"none", "prob", "focus"})
      update("grad_alignment " + gate, gate.c_str(), "paper");
    for (const std::string gate : {"saliency", "top:0.5", "fdr:0.3", "opt"})
      update("update " + gate, gate.c_str(), "paper");
    update("update focus, shrunk ema", "focus", "ema:0.9,shrink=on");
  }
}

}  // namespace expunge::tools
