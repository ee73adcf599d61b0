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

double at(const BenchBuffer& b, int64_t i) {
  return b.at(i);
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
      return check_elements(name, x.here(), 1, sum_tolerance(x),
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
    check_elements(name, result.here(), 1, sum_tolerance(result), [&](int64_t i) {
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

void add_pool_cases(std::vector<KernelCase>& rows, const kernels::Pool2dShape& s,
                    const std::map<std::string, int>& layers) {
  for (bool back : {false, true})
    add_case(rows, {back ? "max_pool2d backward" : "max_pool2d forward",
                    fmt::format("{} {}x{} k{} s{}", s.C, s.H, s.W, s.kernel, s.stride), layers,
                    [=](const auto& name) { return max_pool(s, back, name); }});
}

}  // namespace

void add_layer_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                     int64_t batch_size) {
  // the networks have it in one operation with batch norm, but where a side is odd
  add_pool_cases(rows, {batch_size, 32, 32, 64, 2, 2, 0}, {});
  for (const std::string& model : models) {
    const nn::Model network = nn::make_model(model, {});
    const nn::Trace trace = network.trace(batch_size);
    const auto add = [&](const char* kernel, std::string shape, auto prepare) {
      add_case(rows, {kernel, std::move(shape), {{model, 1}}, prepare});
    };
    for (const auto& s : trace.max_pool2d) add_pool_cases(rows, s, {{model, 1}});
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
