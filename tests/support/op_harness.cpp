#include "support/op_harness.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/parallel.h"
#include "kernels/isa.h"

namespace expunge::test {

Tensor to_tensor(const Values& values, Shape shape) {
  Tensor t(shape);
  for (size_t i = 0; i < values.size(); ++i) t.data()[i] = static_cast<float>(values[i]);
  return t;
}

Values to_values(const Tensor& tensor) {
  const auto span = tensor.span();
  return Values(span.begin(), span.end());
}

namespace {

constexpr float kBefore = 3.25f;  // what gradient buffers hold before an accumulating pass

struct Outcome {
  Tensor y;
  std::vector<Tensor> gradients;
};

// d(sum v y)/d(inputs): the loss every case is differentiated with.
Outcome run(const OpCase& row, const std::vector<Values>& inputs, const Values& v, float beta) {
  StepScalars scalars{.seed = 5, .step = 3};
  Tape tape;
  Ctx ctx{.tape = &tape, .mode = row.mode, .batch_norm = row.batch_norm, .scalars = &scalars};
  Outcome out;
  std::vector<Var> vars;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensor gradient(row.inputs[i]);
    std::ranges::fill(gradient.span(), beta == 0.0f ? std::nanf("") : kBefore);
    out.gradients.push_back(gradient);
    vars.push_back(tape.leaf(to_tensor(inputs[i], row.inputs[i]), {gradient, beta}));
  }
  const Var y = row.op(ctx, vars);
  out.y = y.value;
  REQUIRE(static_cast<size_t>(y.value.size()) == v.size());
  const Var loss = ctx.record(Tensor({1}), {&y}, [&](Tape& t, const Tensor& dy) {
    const auto [dv, b] = t.sink(y);
    for (size_t i = 0; i < v.size(); ++i)
      dv.data()[i] = (b == 0.0f ? 0.0f : dv.data()[i]) + dy.data()[0] * static_cast<float>(v[i]);
  });
  tape.backward(loss);
  return out;
}

double largest(const Values& values) {
  double top = 0;
  for (double v : values) top = std::max(top, std::abs(v));
  return top;
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void check_forward(const OpCase& row, const Tensor& y, const Values& expected) {
  const double allowed = row.tolerance * std::max(1.0, largest(expected));
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = std::abs(double{y.data()[i]} - expected[i]);
    worst = std::max(worst, d == d ? d : 1e30);
  }
  CHECK_MESSAGE(worst <= allowed,
                row.name << ": forward is off by " << worst << ", allowed " << allowed);
}

// What the gradient of an input must be, in some of its elements.
struct Sampled {
  std::vector<int64_t> element;
  Values gradient;
};

// Central differences of the reference in up to kSamples elements of every input. The step is
// small, so that hardly any sum crosses a ReLU's kink within it.
std::vector<Sampled> numeric_gradients(const OpCase& row, const std::vector<Values>& inputs,
                                       const Values& v) {
  constexpr int64_t kSamples = 40;
  constexpr double kStep = 1e-6;
  std::vector<Sampled> result(inputs.size());
  std::vector<Values> moved = inputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t n = static_cast<int64_t>(inputs[i].size()),
                  stride = std::max<int64_t>(1, n / kSamples);
    for (int64_t e = 0; e < n; e += stride) {
      double& x = moved[i][static_cast<size_t>(e)];
      const double at = x;
      x = at + kStep;
      const double above = dot(row.reference(moved), v);
      x = at - kStep;
      const double below = dot(row.reference(moved), v);
      x = at;
      result[i].element.push_back(e);
      result[i].gradient.push_back((above - below) / (2 * kStep));
    }
  }
  return result;
}

// `before`: what the buffers held, where the pass added to it.
void check_gradients(const OpCase& row, const std::vector<Sampled>& expected,
                     const std::vector<Tensor>& gradients, double before) {
  for (size_t i = 0; i < expected.size(); ++i) {
    // 1e-6: noise of the differences; adding to `before` rounds at its magnitude
    const double allowed =
        row.tolerance * std::max(1.0, largest(expected[i].gradient)) + 1e-6 + before * 1e-6;
    for (size_t k = 0; k < expected[i].element.size(); ++k) {
      const double got = double{gradients[i].data()[expected[i].element[k]]} - before;
      CHECK_MESSAGE(std::abs(got - expected[i].gradient[k]) <= allowed,
                    row.name << ": gradient of input " << i << ", element "
                             << expected[i].element[k] << ": " << got << ", expected "
                             << expected[i].gradient[k]);
    }
  }
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.size()) * 4) == 0;
}

}  // namespace

void check_op(const OpCase& row) {
  CAPTURE(row.name);
  std::vector<Values> inputs;
  for (size_t i = 0; i < row.inputs.size(); ++i) {
    inputs.push_back(normal_values(row.inputs[i].size(), 17 + i));
    for (double& x : inputs.back())
      if (std::abs(x) < row.keep_away) x = std::copysign(row.keep_away, x);
  }
  const Values expected = row.reference(inputs);
  const Values v = normal_values(static_cast<int64_t>(expected.size()), 99);
  const std::vector<Sampled> gradients = numeric_gradients(row, inputs, v);
  const kernels::Isa chosen = kernels::isa();
  for (kernels::Isa isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (!kernels::isa_supported(isa)) continue;
    kernels::set_isa(isa);
    pool_guard(true);
    {
      set_thread_count(1);
      const Outcome plain = run(row, inputs, v, 0.0f), added = run(row, inputs, v, 1.0f);
      set_thread_count(2);
      const Outcome twice = run(row, inputs, v, 0.0f);
      check_forward(row, plain.y, expected);
      check_gradients(row, gradients, plain.gradients, 0.0);
      check_gradients(row, gradients, added.gradients, double{kBefore});
      CHECK_MESSAGE(same_bits(plain.y, twice.y), row.name << ": 1 and 2 threads differ");
      for (size_t i = 0; i < inputs.size(); ++i)
        CHECK_MESSAGE(same_bits(plain.gradients[i], twice.gradients[i]),
                      row.name << ": 1 and 2 threads differ");
    }
    CHECK_MESSAGE(pool_guard(false) == 0, row.name << ": wrote outside a tensor");
  }
  kernels::set_isa(chosen);
  set_thread_count(0);
}

}  // namespace expunge::test
