#include <cmath>

#include "core/rng.h"
#include "kernels/conv_algo.h"
#include "nn/network.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {
namespace {

using kernels::Conv2dShape;

constexpr int kSamples = 64;
// Of the root of the sum of squares of an element's terms, which is the size that a sum of terms
// with random signs has. Direct float sums miss it by 7e-6 at most, Winograd's F(4x4, 3x3) by
// 8e-5; a term left out of 4608 by 1.5e-2.
constexpr double kTolerance = 2e-4;

bool is_linear(const Conv2dShape& s) {
  return s.H == 1 && s.W == 1 && s.R == 1 && s.S == 1;
}

std::string label_of(const Conv2dShape& s) {
  if (is_linear(s)) return fmt::format("{}-{}", s.C, s.K);
  std::string text = fmt::format("{}-{} {}x{} k{}{} s{}", s.C, s.K, s.H, s.W, s.R,
                                 s.S == s.R ? "" : fmt::format("x{}", s.S), s.stride);
  if (2 * s.pad != s.R - 1) text += fmt::format(" p{}", s.pad);
  return text;
}

std::string kernel_of(Direction direction, const Conv2dShape& s) {
  const char* what = is_linear(s) ? "linear" : "conv2d";
  switch (direction) {
    case Direction::forward:
      return fmt::format("{} forward", what);
    case Direction::backward_data:
      return fmt::format("{} backward data", what);
    case Direction::backward_weights:
      return fmt::format("{} backward weights", what);
  }
  return "?";
}

struct Terms {
  double sum = 0, squares = 0;
  void add(float a, float b) {
    const double term = double{a} * double{b};
    sum += term, squares += term * term;
  }
};

// Calls f(h, w, r, s) for the kernel's places over output (p, q) that lie inside the image.
template <class F>
void for_window(const Conv2dShape& t, int64_t p, int64_t q, F f) {
  for (int64_t r = 0; r < t.R; ++r)
    for (int64_t s = 0; s < t.S; ++s) {
      const int64_t h = p * t.stride - t.pad + r, w = q * t.stride - t.pad + s;
      if (h >= 0 && h < t.H && w >= 0 && w < t.W) f(h, w, r, s);
    }
}

Terms forward_at(const Conv2dShape& t, const ConvResult& v, int64_t i) {
  const int64_t k = i % t.K, q = i / t.K % t.Q(), p = i / t.K / t.Q() % t.P(),
                n = i / t.K / t.Q() / t.P();
  Terms y;
  for_window(t, p, q, [&](int64_t h, int64_t w, int64_t r, int64_t s) {
    for (int64_t c = 0; c < t.C; ++c)
      y.add(v.a[((n * t.H + h) * t.W + w) * t.C + c], v.b[((k * t.R + r) * t.S + s) * t.C + c]);
  });
  if (v.bias != nullptr) y.add(v.bias[k], 1.0f);
  return y;
}

Terms data_at(const Conv2dShape& t, const ConvResult& v, int64_t i) {
  const int64_t c = i % t.C, w = i / t.C % t.W, h = i / t.C / t.W % t.H, n = i / t.C / t.W / t.H;
  Terms dx;
  for (int64_t r = 0; r < t.R; ++r)
    for (int64_t s = 0; s < t.S; ++s) {
      const int64_t y = h + t.pad - r, x = w + t.pad - s, p = y / t.stride, q = x / t.stride;
      if (y < 0 || x < 0 || p * t.stride != y || q * t.stride != x || p >= t.P() || q >= t.Q())
        continue;
      for (int64_t k = 0; k < t.K; ++k)
        dx.add(v.a[((n * t.P() + p) * t.Q() + q) * t.K + k],
               v.b[((k * t.R + r) * t.S + s) * t.C + c]);
    }
  return dx;
}

Terms weights_at(const Conv2dShape& t, const ConvResult& v, int64_t i) {
  const int64_t c = i % t.C, s = i / t.C % t.S, r = i / t.C / t.S % t.R, k = i / t.C / t.S / t.R;
  Terms dw;
  for (int64_t n = 0; n < t.N; ++n)
    for (int64_t p = 0; p < t.P(); ++p)
      for (int64_t q = 0; q < t.Q(); ++q) {
        const int64_t h = p * t.stride - t.pad + r, w = q * t.stride - t.pad + s;
        if (h < 0 || h >= t.H || w < 0 || w >= t.W) continue;
        dw.add(v.a[((n * t.H + h) * t.W + w) * t.C + c],
               v.b[((n * t.P() + p) * t.Q() + q) * t.K + k]);
      }
  return dw;
}

KernelRun prepare(const ConvCase& row, const std::string& name) {
  const Conv2dShape s = row.shape;
  const Tensor x({s.N, s.H, s.W, s.C}), w({s.K, s.R, s.S, s.C}), y({s.N, s.P(), s.Q(), s.K});
  fill_uniform(x, 1), fill_uniform(w, 2), fill_uniform(y, 3);
  Tensor bias;
  if (is_linear(s)) bias = Tensor({s.K}), fill_uniform(bias, 4);
  KernelRun run{.flops = 2 * static_cast<double>(s.macs()),
                .bytes = 4 * static_cast<double>(x.size() + w.size() + y.size())};
  run.algo = kernels::conv_algo_name(kernels::conv_algo_for(s));
  ConvResult r{};
  switch (row.direction) {
    case Direction::forward:
      run.call = [=] { kernels::conv2d({}, s, x.data(), w.data(), bias.data(), y.data()); };
      run.result = y, r = {x.data(), w.data(), bias.data(), y.data()};
      break;
    case Direction::backward_data:
      run.call = [=] { kernels::conv2d_backward_data({}, s, y.data(), w.data(), 0, x.data()); };
      run.result = x, r = {y.data(), w.data(), nullptr, x.data()};
      break;
    case Direction::backward_weights:
      run.call = [=] {
        kernels::conv2d_backward_weights({}, s, 0, s.N, x.data(), y.data(), 0, w.data());
      };
      run.result = w, r = {x.data(), y.data(), nullptr, w.data()};
      break;
  }
  run.check = [=, direction = row.direction] { check_conv(name, direction, s, r); };
  return run;
}

}  // namespace

void check_conv(const std::string& name, Direction direction, const Conv2dShape& s,
                const ConvResult& r) {
  const int64_t size = direction == Direction::forward         ? s.N * s.P() * s.Q() * s.K
                       : direction == Direction::backward_data ? s.N * s.H * s.W * s.C
                                                               : s.K * s.R * s.S * s.C;
  const auto at = direction == Direction::forward         ? forward_at
                  : direction == Direction::backward_data ? data_at
                                                          : weights_at;
  for (uint32_t sample = 0; sample < kSamples; ++sample) {
    const rng::Draw draw = rng::philox(0, rng::Purpose::test, {{sample, 5, 0, 0}});
    const int64_t i = rng::below(draw.word[0], static_cast<uint32_t>(size));
    const Terms want = at(s, r, i);
    const double tolerance = kTolerance * std::sqrt(want.squares);
    if (!(std::abs(double{r.out[i]} - want.sum) <= tolerance))
      fail(ExitCode::verification, "bench kernels: {}: element {} is {}, expected {} +- {:.1e}",
           name, i, r.out[i], want.sum, tolerance);
  }
}

std::vector<ConvCase> conv_cases(const std::vector<std::string>& models, int64_t batch_size) {
  std::vector<ConvCase> rows;
  const auto add = [&](ConvCase row, const std::string& model) {
    for (ConvCase& known : rows)
      if (known.kernel == row.kernel && known.label == row.label)
        return void(++known.layers[model]);
    row.layers[model] = 1;
    rows.push_back(std::move(row));
  };
  for (Direction direction : kDirections)
    for (const std::string& model : models) {
      const nn::Trace trace = nn::make_model(model, {}).trace(batch_size);
      for (const Conv2dShape& s : trace.conv2d) {
        // no gradient by the images
        if (direction == Direction::backward_data && &s == &trace.conv2d.front()) continue;
        add({direction, s, kernel_of(direction, s), label_of(s), {}}, model);
      }
    }
  return rows;
}

void add_conv_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                    int64_t batch_size) {
  for (const ConvCase& row : conv_cases(models, batch_size))
    add_case(rows, {row.kernel, row.label, row.layers,
                    [row](const std::string& name) { return prepare(row, name); }});
}

}  // namespace expunge::tools
