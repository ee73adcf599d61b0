#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/precision.h"
#include "nn/network.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {
namespace {

using kernels::BatchNormShape;

double at(const BenchBuffer& b, int64_t i) {
  return b.at(i);
}

struct Norm {
  BatchNormShape s;
  bool add;
  int64_t width, outputs = kernels::NormPool{width}.outputs(s.pixels);
  BenchBuffer x = drawn(s.pixels, 1), y{{outputs, s.C}, kernels::activation_type()},
              residual = drawn(s.pixels, 2), which{{outputs, s.C}, DType::u8};
  BenchBuffer gamma = BenchBuffer::drawn({s.C}, 3), beta = BenchBuffer::drawn({s.C}, 4);
  BenchBuffer mean{{s.C}}, invstd{{s.C}}, line{{2 * s.C}},
      running = BenchBuffer::drawn({2 * s.C}, 5);

  static constexpr float kEps = 1e-5f;
  Norm(const nn::Trace::BatchNorm& row) : s(row.shape), add(row.residual), width(row.pooled) {}
  BenchBuffer drawn(int64_t rows, uint32_t key) const {
    return BenchBuffer::drawn({rows, s.C}, key, kernels::activation_type());
  }
  kernels::NormPool pool() const { return {width, width > 0 ? which.bytes_there() : nullptr}; }
  // The output that x's element i may be the maximum of, and which of its window it is.
  std::pair<int64_t, int> window_of(int64_t i) const {
    const int64_t p = i / s.C, row = p / width, column = p % width;
    return {(row / 2 * (width / 2) + column / 2) * s.C + i % s.C,
            static_cast<int>(2 * (row % 2) + column % 2)};
  }
  // Element k of the window of output i.
  int64_t element_of(int64_t i, int64_t k) const {
    const int64_t o = i / s.C, row = o / (width / 2), column = o % (width / 2);
    return ((2 * row + k / 2) * width + 2 * column + k % 2) * s.C + i % s.C;
  }
  void forward() const {
    kernels::batch_norm_statistics(
        compute_stream(),
        kernels::BatchNormStatistics{.shape = s,
                                     .x = x.values(),
                                     .eps = kEps,
                                     .running = {running.data(), running.data() + s.C, 0.1f},
                                     .gamma = gamma.data(),
                                     .beta = beta.data(),
                                     .mean = mean.data(),
                                     .invstd = invstd.data(),
                                     .line = line.data()});
    kernels::batch_norm_apply(
        compute_stream(), kernels::BatchNormApply{.shape = s,
                                                  .x = x.values(),
                                                  .line = line.data(),
                                                  .residual = add ? residual.values() : Values(),
                                                  .y = y.values(),
                                                  .pool = pool()});
  }
};

struct Moments {
  std::vector<double> mean, invstd;
};
Moments moments_of(const Norm& b) {
  const auto C = static_cast<size_t>(b.s.C);
  const double n = static_cast<double>(b.s.pixels);
  Moments m{std::vector<double>(C), std::vector<double>(C)};
  for (int64_t i = 0; i < b.s.pixels * b.s.C; ++i)
    m.mean[static_cast<size_t>(i) % C] += at(b.x, i) / n;
  for (int64_t i = 0; i < b.s.pixels * b.s.C; ++i) {
    const double d = at(b.x, i) - m.mean[static_cast<size_t>(i) % C];
    m.invstd[static_cast<size_t>(i) % C] += d * d / n;
  }
  for (double& v : m.invstd) v = 1 / std::sqrt(v + double{Norm::kEps});
  return m;
}

KernelRun norm_forward(const nn::Trace::BatchNorm& row, const std::string& name) {
  const auto b = std::make_shared<Norm>(row);
  KernelRun run{.call = [b] { b->forward(); }, .result = b->y.here()};
  run.bytes = bytes_of({b->x, b->x, b->y}) + (b->add ? b->residual.bytes() : 0) +
              (b->width > 0 ? b->which.bytes() : 0);
  run.check = [b, name] {
    b->y.fetch(), b->which.fetch();
    const Moments m = moments_of(*b);
    const auto of_pixel = [&](int64_t i) {
      const auto c = static_cast<size_t>(i % b->s.C);
      const double xhat = (at(b->x, i) - m.mean[c]) * m.invstd[c];
      const double y = at(b->gamma, i % b->s.C) * xhat + at(b->beta, i % b->s.C) +
                       (b->add ? at(b->residual, i) : 0);
      return b->s.relu && y < 0 ? 0 : y;
    };
    check_elements(name, b->y.here(), 1, sum_tolerance(b->y), [&](int64_t i) {
      if (b->width == 0) return of_pixel(i);
      double top = of_pixel(b->element_of(i, 0));
      for (int64_t k = 1; k < kernels::NormPool::kWindow; ++k)
        top = std::max(top, of_pixel(b->element_of(i, k)));
      const double there = of_pixel(b->element_of(i, b->which.here().as<uint8_t>()[i])),
                   rounded = 2 * sum_tolerance(b->y) * (1 + std::abs(top));
      return top - there <= rounded ? top : std::nan("");  // `which` is not the maximum's
    });
  };
  return run;
}

// dx = gamma invstd (g - [sum g + xhat sum g xhat] / n) in double; g = dy where y > 0
std::vector<double> norm_gradient(const Norm& b, const BenchBuffer& dy) {
  const auto C = static_cast<size_t>(b.s.C), size = static_cast<size_t>(b.s.pixels) * C;
  const Moments m = moments_of(b);
  const double n = static_cast<double>(b.s.pixels);
  const auto of = [](const BenchBuffer& x, size_t i) { return x.at(static_cast<int64_t>(i)); };
  const auto passed = [&](size_t i) { return b.s.relu && !(of(b.y, i) > 0) ? 0 : of(dy, i); };
  const auto g = [&](size_t i) {
    if (b.width == 0) return passed(i);
    const auto [output, k] = b.window_of(static_cast<int64_t>(i));
    return b.which.here().as<uint8_t>()[output] == k ? passed(static_cast<size_t>(output)) : 0;
  };
  const auto xhat = [&](size_t i) { return (of(b.x, i) - m.mean[i % C]) * m.invstd[i % C]; };
  std::vector<double> sum_g(C), sum_gx(C), dx(size);
  for (size_t i = 0; i < size; ++i) sum_g[i % C] += g(i) / n, sum_gx[i % C] += g(i) * xhat(i) / n;
  for (size_t i = 0; i < size; ++i)
    dx[i] = of(b.gamma, i % C) * m.invstd[i % C] * (g(i) - sum_g[i % C] - xhat(i) * sum_gx[i % C]);
  return dx;
}

KernelRun norm_backward(const nn::Trace::BatchNorm& row, const std::string& name) {
  const auto b = std::make_shared<Norm>(row);
  b->forward();
  const Shape shape = b->x.here().shape();
  const BenchBuffer dy = b->drawn(b->outputs, 6), dx(shape, kernels::activation_type()),
                    dresidual(shape, kernels::activation_type());
  // what the kernels need: the output only where the ReLU's gradient is not known from x
  const bool reads_y = b->s.relu && b->add;
  KernelRun run{.result = dx.here()};
  run.bytes = bytes_of({b->x, dy, b->x, dy, dx}) + (reads_y ? 2 * b->y.bytes() : 0) +
              (b->add ? dresidual.bytes() : 0) + (b->width > 0 ? 2 * b->which.bytes() : 0);
  run.call = [=] {
    kernels::batch_norm_backward(
        compute_stream(),
        kernels::BatchNormBackward{.in = {.shape = b->s,
                                          .x = b->x.values(),
                                          .y = reads_y ? b->y.values() : Values(),
                                          .dy = dy.values(),
                                          .mean = b->mean.data(),
                                          .invstd = b->invstd.data(),
                                          .line = b->line.data(),
                                          .pool = b->pool()},
                                   .gamma = b->gamma.data(),
                                   .batch = true,
                                   .beta_dx = 0,
                                   .dx = dx.values(),
                                   .beta_residual = 0,
                                   .dresidual = b->add ? dresidual.values() : Values()});
  };
  run.check = [=] {
    b->y.fetch(), b->which.fetch(), dx.fetch(), dresidual.fetch();
    const std::vector<double> want = norm_gradient(*b, dy);
    check_elements(name, dx.here(), 1, sum_tolerance(dx),
                   [&](int64_t i) { return want[static_cast<size_t>(i)]; });
    if (b->add)
      check_elements(name + ", residual", dresidual.here(), 1, 0,
                     [&](int64_t i) { return b->s.relu && !(at(b->y, i) > 0) ? 0 : at(dy, i); });
  };
  return run;
}

}  // namespace

void add_norm_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                    int64_t batch_size) {
  for (const std::string& model : models)
    for (const auto& row : nn::make_model(model, {}).trace(batch_size).batch_norm) {
      const std::string label =
          fmt::format("{}x{}{}{}{}", row.shape.pixels, row.shape.C, row.residual ? " add" : "",
                      row.shape.relu ? " relu" : "", row.pooled > 0 ? " max_pool" : "");
      const auto add = [&](const char* kernel, auto prepare) {
        add_case(rows, {kernel, label, {{model, 1}}, prepare});
      };
      add("batch_norm forward", [row](const auto& name) { return norm_forward(row, name); });
      add("batch_norm backward", [row](const auto& name) { return norm_backward(row, name); });
    }
}

}  // namespace expunge::tools
