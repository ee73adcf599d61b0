#include <cmath>

#include "core/rng.h"
#include "kernels/conv_algo.h"
#include "kernels/precision.h"
#include "nn/network.h"
#include "tools/bench_buffer.h"
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

// Products of tf32 have 10 bits: a term is off by up to 1e-3 of itself, and where an engine cuts
// both factors off by up to 2e-3 in one direction, which does not cancel: of the length of all
// terms 2.5e-3 has been simulated. In 16 bits the result is rounded.
double tolerance(const Terms& want, bool wide) {
  const double terms = std::sqrt(want.squares);
  switch (kernels::precision()) {
    case kernels::Precision::fp32:
      return kTolerance * terms;
    case kernels::Precision::tf32:
      return 6e-3 * terms;
    case kernels::Precision::bf16:
    case kernels::Precision::fp16:
      break;
  }
  const double rounded = wide ? 0 : rounding(kernels::activation_type());
  return kTolerance * terms + rounded * std::abs(want.sum);
}

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

const char* algo_of(Direction direction, const Conv2dShape& s) {
  if (compute_stream().device == Device::cpu)
    return kernels::conv_algo_name(kernels::conv_algo_for(s));
  if (is_linear(s)) return "cuBLAS";
  if (is_of_taps(direction, s)) return "faster";
  if (kernels::precision() != kernels::Precision::fp32 ||
      kernels::conv_algo_for(s) == kernels::ConvAlgo::direct)
    return "cuDNN";
  return kernels::conv_algo() == kernels::ConvAlgo::automatic ? "faster" : "winograd";
}

// In 16 bits images have as many channels as a vector has (nn/ops/conv2d.cpp); a linear layer is
// in 32.
constexpr int64_t kChannels = 8;

KernelRun prepare(const ConvCase& row, const std::string& name) {
  Conv2dShape s = row.shape;
  const DType type = is_linear(s) ? DType::f32 : kernels::activation_type();
  const bool weights = row.direction == Direction::backward_weights;  // f32 in any precision
  if (is_16_bit(type)) s.C = (s.C + kChannels - 1) / kChannels * kChannels;
  const BenchBuffer x = BenchBuffer::drawn({s.N, s.H, s.W, s.C}, 1, type),
                    w = BenchBuffer::drawn({s.K, s.R, s.S, s.C}, 2, type),
                    y = BenchBuffer::drawn({s.N, s.P(), s.Q(), s.K}, 3, type),
                    bias = is_linear(s) ? BenchBuffer::drawn({s.K}, 4) : BenchBuffer(),
                    dw = weights ? BenchBuffer({s.K, s.R, s.S, s.C}) : BenchBuffer();
  KernelRun run{.flops = 2 * static_cast<double>(s.macs()),
                .bytes = bytes_of({x, weights ? dw : w, y})};
  run.algo = algo_of(row.direction, s);
  BenchBuffer out;
  ConvResult r{};
  const auto at = [](const BenchBuffer& b) -> const float* {
    return b ? b.here().data() : nullptr;
  };
  switch (row.direction) {
    case Direction::forward:
      run.call = [=] {
        kernels::conv2d(compute_stream(), s, x.values(), w.values(), bias ? bias.data() : nullptr,
                        y.values());
      };
      out = y, r = {at(x), at(w), at(bias), at(y)};
      break;
    case Direction::backward_data:
      run.call = [=] {
        kernels::conv2d_backward_data(compute_stream(), s, y.values(), w.values(), 0, x.values());
      };
      out = x, r = {at(y), at(w), nullptr, at(x)};
      break;
    case Direction::backward_weights:
      run.call = [=] {
        kernels::conv2d_backward_weights(compute_stream(), s, 0, s.N, x.values(), y.values(), 0,
                                         dw.values());
      };
      out = dw, r = {at(x), at(y), nullptr, at(dw)};
      break;
  }
  run.result = out.here();
  run.check = [=, direction = row.direction] {
    out.fetch();
    check_conv(name, direction, s, r);
  };
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
    const double most = tolerance(want, r.wide);
    if (!(std::abs(double{r.out[i]} - want.sum) <= most))
      fail(ExitCode::verification, "bench kernels: {}: element {} is {}, expected {} +- {:.1e}",
           name, i, r.out[i], want.sum, most);
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
  using Layers = std::map<std::string, int>;
  for (const ConvCase& row : conv_cases(models, batch_size)) {
    const bool images = is_of_images(row);
    add_case(rows, {row.kernel, row.label, images ? Layers() : row.layers,
                    [row](const std::string& name) { return prepare(row, name); }});
    if (is_of_taps(row.direction, row.shape))
      add_case(rows, {"own " + row.kernel, row.label, Layers(),
                      [row](const std::string& name) { return prepare_taps(row, name); }});
    if (images)
      add_case(rows, {"image " + row.kernel, row.label, row.layers,
                      [row](const std::string& name) { return prepare_images(row, name); }});
  }
}

}  // namespace expunge::tools
