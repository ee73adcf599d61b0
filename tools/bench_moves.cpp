// Kernels that move numbers more than they compute: data, sums, types.
#include <array>
#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "kernels/augment.h"
#include "kernels/cast.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "nn/network.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {
namespace {

constexpr double kRounding = 1e-5;

KernelRun add(int64_t n, const std::string& name) {
  const BenchBuffer a = BenchBuffer::drawn({n}, 1), b = BenchBuffer::drawn({n}, 2), y({n});
  KernelRun run{.result = y.here(), .bytes = bytes_of({a, b, y})};
  run.call = [=] { kernels::add(compute_stream(), n, a.data(), b.data(), y.data()); };
  run.check = [=] {
    y.fetch();
    check_elements(name, y.here(), 1, kRounding, [&](int64_t i) { return a.at(i) + b.at(i); });
  };
  return run;
}

// Of activations as convolutions want them in 16 bits: a type of GPUs.
KernelRun to_16_bits(int64_t n, DType type, const std::string& name) {
  const BenchBuffer from = BenchBuffer::drawn({n}, 1), to({n}, type);
  KernelRun run{.result = to.here(), .bytes = bytes_of({from, to})};
  run.call = [=] { kernels::cast(compute_stream(), {1, n, n}, from.values(), 0, to.values()); };
  run.check = [=] {
    to.fetch();
    check_elements(name, to.here(), 1, rounding(type), [&](int64_t i) { return from.at(i); });
  };
  return run;
}

// A bias gradient: (rows, C) to (C).
KernelRun sum_rows(int64_t rows, int64_t C, const std::string& name) {
  const BenchBuffer x = BenchBuffer::drawn({rows, C}, 1), sums({C});
  KernelRun run{.result = sums.here(), .bytes = bytes_of({x, sums})};
  run.call = [=] { kernels::sum_rows(compute_stream(), rows, C, x.data(), 0, sums.data()); };
  run.check = [=] {
    sums.fetch();
    check_elements(name, sums.here(), 1, kRounding * std::sqrt(static_cast<double>(rows)),
                   [&](int64_t c) {
                     double sum = 0;
                     for (int64_t r = 0; r < rows; ++r) sum += x.at(r * C + c);
                     return sum;
                   });
  };
  return run;
}

// A batch of a resident data set: crops and mirror images, each a draw of its own.
struct Augmented {
  explicit Augmented(int64_t batch) : n(batch) {
    for (int64_t i = 0; i < kAll * kPixels; ++i)
      images.here().as<uint8_t>()[i] = static_cast<uint8_t>(i * 7 % 251);
    auto* jitters = static_cast<kernels::Jitter*>(jitter_here.bytes());
    for (int64_t i = 0; i < n; ++i) {
      const rng::Draw d = rng::philox(0, rng::Purpose::test, {{static_cast<uint32_t>(i), 9, 0, 0}});
      index.here().as<int32_t>()[i] = static_cast<int32_t>(rng::below(d.word[0], kAll));
      jitters[i] = {static_cast<int32_t>(rng::below(d.word[1], 9)) - 4,
                    static_cast<int32_t>(rng::below(d.word[2], 9)) - 4, (d.word[3] & 1) != 0};
    }
    images.send(), index.send();
    jitter = jitter_here.to(compute_stream());
  }
  void run() const {
    kernels::augment(compute_stream(), {kSide, kSide, kChannels, kMean.data(), kStd.data()}, n,
                     images.bytes_there(), index.labels(),
                     static_cast<const kernels::Jitter*>(jitter.bytes()), y.data());
  }
  double expected(int64_t i) const {
    const int64_t c = i % kChannels, w = i / kChannels % kSide, h = i / kChannels / kSide % kSide,
                  image = i / kPixels;
    const auto& moved = static_cast<const kernels::Jitter*>(jitter_here.bytes())[image];
    const int64_t row = h + moved.dy, column = (moved.flip ? kSide - 1 - w : w) + moved.dx;
    const bool inside = row >= 0 && row < kSide && column >= 0 && column < kSide;
    const int64_t at = (int64_t{index.here().as<int32_t>()[image]} * kSide + row) * kSide + column;
    const double p = inside ? images.here().as<uint8_t>()[at * kChannels + c] : 0;
    const auto of = static_cast<size_t>(c);
    return (p / 255 - double{kMean[of]}) / double{kStd[of]};
  }

  static constexpr int64_t kAll = 512, kSide = 32, kChannels = 3,
                           kPixels = kSide * kSide * kChannels;
  static constexpr std::array<float, 3> kMean{0.49f, 0.48f, 0.45f}, kStd{0.25f, 0.24f, 0.26f};
  int64_t n;
  BenchBuffer images{{kAll, kPixels}, DType::u8}, index{{n}, DType::i32}, y{{n, kPixels}};
  Tensor jitter_here{{n * static_cast<int64_t>(sizeof(kernels::Jitter))}, DType::u8}, jitter;
};

KernelRun augment(int64_t batch, const std::string& name) {
  const auto problem = std::make_shared<Augmented>(batch);
  KernelRun run{.result = problem->y.here()};
  run.bytes = 1.25 * problem->y.bytes();  // a byte read, four written
  run.call = [problem] { problem->run(); };
  run.check = [problem, name] {
    problem->y.fetch();
    check_elements(name, problem->y.here(), 1, kRounding,
                   [&](int64_t i) { return problem->expected(i); });
  };
  return run;
}

}  // namespace

void add_move_cases(std::vector<KernelCase>& rows, int64_t batch_size) {
  constexpr int64_t kWidth = 64;  // channels of a first layer
  const int64_t pixels = batch_size * 32 * 32;
  const auto row = [&](const char* kernel, std::string shape, auto prepare) {
    add_case(rows, {kernel, std::move(shape), {}, prepare});
  };
  const std::string activations = fmt::format("{}x{}", pixels, kWidth);
  row("augment", fmt::format("{} 32x32x3", batch_size),
      [=](const std::string& name) { return augment(batch_size, name); });
  row("add", activations, [=](const std::string& name) { return add(pixels * kWidth, name); });
  row("sum_rows", activations,
      [=](const std::string& name) { return sum_rows(pixels, kWidth, name); });
  if (compute_stream().device == Device::cpu) return;
  for (const DType type : {DType::bf16, DType::f16})
    row(type == DType::bf16 ? "cast to bf16" : "cast to f16", activations,
        [=](const std::string& name) { return to_16_bits(pixels * kWidth, type, name); });
}

}  // namespace expunge::tools
