#include <cmath>
#include <limits>
#include <vector>

#include "kernels/loss.h"
#include "kernels/precision.h"
#include "nn/network.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {
namespace {

using kernels::BatchNormShape;

// Sums of a few thousand values near 1 by blocks of float: 1e-6 in a mean, the same in what a mean
// is taken from. A pixel left out of 1024 moves a mean by 1e-3.
constexpr double kSumTolerance = 1e-5;

double tolerance_of(const BenchBuffer& result) {
  const DType type = result.values().type;
  return is_16_bit(type) ? rounding(type) : kSumTolerance;
}
double at(const BenchBuffer& b, int64_t i) {
  return b.at(i);
}

struct Norm {
  BatchNormShape s;
  bool add;
  BenchBuffer x = drawn(1), y{x.here().shape(), kernels::activation_type()}, residual = drawn(2);
  BenchBuffer gamma = BenchBuffer::drawn({s.C}, 3), beta = BenchBuffer::drawn({s.C}, 4);
  BenchBuffer mean{{s.C}}, invstd{{s.C}}, line{{2 * s.C}},
      running = BenchBuffer::drawn({2 * s.C}, 5);

  static constexpr float kEps = 1e-5f;
  Norm(const nn::Trace::BatchNorm& row) : s(row.shape), add(row.residual) {}
  BenchBuffer drawn(uint32_t key) const {
    return BenchBuffer::drawn({s.pixels, s.C}, key, kernels::activation_type());
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
                                                  .y = y.values()});
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
  run.bytes = bytes_of({b->x, b->x, b->y}) + (b->add ? b->residual.bytes() : 0);
  run.check = [b, name] {
    b->y.fetch();
    const Moments m = moments_of(*b);
    check_elements(name, b->y.here(), 1, tolerance_of(b->y), [&](int64_t i) {
      const auto c = static_cast<size_t>(i % b->s.C);
      const double xhat = (at(b->x, i) - m.mean[c]) * m.invstd[c];
      const double y = at(b->gamma, i % b->s.C) * xhat + at(b->beta, i % b->s.C) +
                       (b->add ? at(b->residual, i) : 0);
      return b->s.relu && y < 0 ? 0 : y;
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
  const auto g = [&](size_t i) { return b.s.relu && !(of(b.y, i) > 0) ? 0 : of(dy, i); };
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
  const BenchBuffer dy = b->drawn(6), dx(shape, kernels::activation_type()),
                    dresidual(shape, kernels::activation_type());
  // what the kernels need: the output only where the ReLU's gradient is not known from x
  const bool reads_y = b->s.relu && b->add;
  KernelRun run{.result = dx.here()};
  run.bytes = bytes_of({b->x, dy, b->x, dy, dx}) + (reads_y ? 2 * b->y.bytes() : 0) +
              (b->add ? dresidual.bytes() : 0);
  run.call = [=] {
    kernels::batch_norm_backward(
        compute_stream(),
        kernels::BatchNormBackward{.in = {.shape = b->s,
                                          .x = b->x.values(),
                                          .y = reads_y ? b->y.values() : Values(),
                                          .dy = dy.values(),
                                          .mean = b->mean.data(),
                                          .invstd = b->invstd.data(),
                                          .line = b->line.data()},
                                   .gamma = b->gamma.data(),
                                   .batch = true,
                                   .beta_dx = 0,
                                   .dx = dx.values(),
                                   .beta_residual = 0,
                                   .dresidual = b->add ? dresidual.values() : Values()});
  };
  run.check = [=] {
    b->y.fetch(), dx.fetch(), dresidual.fetch();
    const std::vector<double> want = norm_gradient(*b, dy);
    check_elements(name, dx.here(), 1, tolerance_of(dx),
                   [&](int64_t i) { return want[static_cast<size_t>(i)]; });
    if (b->add)
      check_elements(name + ", residual", dresidual.here(), 1, 0,
                     [&](int64_t i) { return b->s.relu && !(at(b->y, i) > 0) ? 0 : at(dy, i); });
  };
  return run;
}

KernelRun max_pool(const kernels::Pool2dShape& s, bool backward, const std::string& name) {
  const DType type = kernels::activation_type();
  const BenchBuffer x = BenchBuffer::drawn({s.N, s.H, s.W, s.C}, 1, type),
                    which({s.N, s.P(), s.Q(), s.C}, DType::i32);
  BenchBuffer y(which.here().shape(), type);
  KernelRun run{.bytes = bytes_of({x, y, which})};
  if (backward) {
    kernels::max_pool2d(compute_stream(), s, x.values(), y.values(), which.labels());
    y = BenchBuffer::drawn(which.here().shape(), 2, type);
    run.result = x.here();
    run.call = [=] {
      kernels::max_pool2d_backward(compute_stream(), s, y.values(), which.labels(), 0, x.values());
    };
  } else {
    run.result = y.here();
    run.call = [=] {
      kernels::max_pool2d(compute_stream(), s, x.values(), y.values(), which.labels());
    };
  }
  const int64_t image = s.P() * s.Q() * s.C;
  run.check = [=] {
    which.fetch(), (backward ? x : y).fetch();
    std::vector<double> dx(static_cast<size_t>(backward ? x.here().size() : 0));
    const auto at_maximum = [&](int64_t i) {
      return (i / image * s.H * s.W + which.here().as<int32_t>()[i]) * s.C + i % s.C;
    };
    for (int64_t i = 0; backward && i < y.here().size(); ++i)
      dx[static_cast<size_t>(at_maximum(i))] += at(y, i);
    if (backward)
      return check_elements(name, x.here(), 1, tolerance_of(x),
                            [&](int64_t i) { return dx[static_cast<size_t>(i)]; });
    check_elements(name, y.here(), 1, 0, [&](int64_t i) {
      const int64_t q = i / s.C % s.Q(), p = i / s.C / s.Q() % s.P(), n = i / image;
      double top = -std::numeric_limits<double>::infinity();
      for (int64_t h = p * s.stride - s.pad; h < p * s.stride - s.pad + s.kernel; ++h)
        for (int64_t w = q * s.stride - s.pad; w < q * s.stride - s.pad + s.kernel; ++w)
          if (h >= 0 && h < s.H && w >= 0 && w < s.W)
            top = std::max(top, at(x, ((n * s.H + h) * s.W + w) * s.C + i % s.C));
      return at(x, at_maximum(i)) == top ? top : std::nan("");  // `which` is not the maximum's
    });
  };
  return run;
}

// Weight of input row (or column) h in output row p: whether its window has it, over its length.
double average_share(const kernels::AveragePool2dShape& s, int64_t p, int64_t h, int64_t in,
                     int64_t out) {
  const int64_t begin = s.kernel > 0 ? p * s.stride - s.pad : p * in / out,
                end = s.kernel > 0 ? begin + s.kernel : ((p + 1) * in + out - 1) / out;
  return h >= begin && h < end ? 1.0 / static_cast<double>(end - begin) : 0.0;
}

KernelRun average_pool(const kernels::AveragePool2dShape& s, bool backward,
                       const std::string& name) {
  const BenchBuffer x = BenchBuffer::drawn({s.N, s.H, s.W, s.C}, 1, kernels::activation_type()),
                    y = BenchBuffer::drawn({s.N, s.P, s.Q, s.C}, 1);
  const BenchBuffer& result = backward ? x : y;
  KernelRun run{.result = result.here(), .bytes = bytes_of({x, y})};
  run.call = [=] {
    if (backward)
      kernels::average_pool2d_backward(compute_stream(), s, y.data(), 0, x.values());
    else
      kernels::average_pool2d(compute_stream(), s, x.values(), y.data());
  };
  run.check = [=] {
    result.fetch();
    const int64_t H = backward ? s.H : s.P, W = backward ? s.W : s.Q;  // of the result
    const int64_t from_h = backward ? s.P : s.H, from_w = backward ? s.Q : s.W;
    check_elements(name, result.here(), 1, tolerance_of(result), [&](int64_t i) {
      const int64_t c = i % s.C, w = i / s.C % W, h = i / s.C / W % H, n = i / s.C / W / H;
      double sum = 0;
      for (int64_t u = 0; u < from_h; ++u)
        for (int64_t v = 0; v < from_w; ++v) {
          const double share =
              backward ? average_share(s, u, h, s.H, s.P) * average_share(s, v, w, s.W, s.Q)
                       : average_share(s, h, u, s.H, s.P) * average_share(s, w, v, s.W, s.Q);
          if (share > 0)
            sum += share * at(backward ? y : x, ((n * from_h + u) * from_w + v) * s.C + c);
        }
      return sum;
    });
  };
  return run;
}

KernelRun cross_entropy(int64_t N, int64_t C, const std::string& name) {
  const BenchBuffer logits = BenchBuffer::drawn({N, C}, 1), losses({N}), gradient({N, C}),
                    labels({N}, DType::i32);
  for (int64_t i = 0; i < N; ++i) labels.here().as<int32_t>()[i] = static_cast<int32_t>(i % C);
  labels.send();
  KernelRun run{.result = gradient.here(), .bytes = bytes_of({logits, gradient, losses})};
  run.call = [=] {
    kernels::softmax_xent(compute_stream(),
                          {.N = N, .C = C, .logits = logits.data(), .labels = labels.labels()},
                          losses.data(), gradient.data());
  };
  run.check = [=] {
    gradient.fetch(), losses.fetch();
    const auto exps = [&](int64_t n) {
      double sum = 0;
      for (int64_t c = 0; c < C; ++c) sum += std::exp(at(logits, n * C + c));
      return sum;
    };
    check_elements(name, gradient.here(), 1, kSumTolerance, [&](int64_t i) {
      return std::exp(at(logits, i)) / exps(i / C) - (i / C % C == i % C ? 1 : 0);
    });
    check_elements(name + ", losses", losses.here(), 1, kSumTolerance,
                   [&](int64_t n) { return std::log(exps(n)) - at(logits, n * C + n % C); });
  };
  return run;
}

}  // namespace

void add_layer_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                     int64_t batch_size) {
  for (const std::string& model : models) {
    const nn::Model network = nn::make_model(model, {});
    const nn::Trace trace = network.trace(batch_size);
    const auto add = [&](const char* kernel, std::string shape, auto prepare) {
      add_case(rows, {kernel, std::move(shape), {{model, 1}}, prepare});
    };
    for (const auto& row : trace.batch_norm) {
      const std::string label =
          fmt::format("{}x{}{}{}", row.shape.pixels, row.shape.C, row.residual ? " add" : "",
                      row.shape.relu ? " relu" : "");
      add("batch_norm forward", label, [row](const auto& name) { return norm_forward(row, name); });
      add("batch_norm backward", label,
          [row](const auto& name) { return norm_backward(row, name); });
    }
    for (const auto& s : trace.max_pool2d)
      for (bool back : {false, true})
        add(back ? "max_pool2d backward" : "max_pool2d forward",
            fmt::format("{} {}x{} k{} s{}", s.C, s.H, s.W, s.kernel, s.stride),
            [=](const auto& name) { return max_pool(s, back, name); });
    for (const auto& s : trace.average_pool2d)
      for (bool back : {false, true})
        add(back ? "average_pool2d backward" : "average_pool2d forward",
            fmt::format("{} {}x{} to {}x{}", s.C, s.H, s.W, s.P, s.Q),
            [=](const auto& name) { return average_pool(s, back, name); });
    const int64_t classes = network.spec.classes;
    add("softmax_xent", fmt::format("{}x{}", batch_size, classes),
        [=](const auto& name) { return cross_entropy(batch_size, classes, name); });
  }
}

}  // namespace expunge::tools
