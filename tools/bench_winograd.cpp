// The transforms of a GPU's convolutions by Winograd in strict f32 (kernels/winograd_cuda.h); their
// products are cuBLAS's.
#include <array>

#include "kernels/conv_algo.h"
#include "kernels/precision.h"
#include "kernels/winograd_cuda.h"
#include "tools/bench_buffer.h"
#include "tools/bench_kernels.h"

namespace expunge::tools {
namespace {

using kernels::Conv2dShape;
using kernels::kWinogradIn, kernels::kWinogradOut, kernels::kWinogradPlanes;
using kernels::cuda::TiledImages;

constexpr double kTolerance = 1e-4;  // entries of the matrices go up to 8, twice
constexpr int64_t kStride = 37, kTaps = 9;

// A matrix of a transform of one dimension (kernels/winograd_math.h), written out.
struct Matrix {
  int rows, columns;
  std::array<std::array<double, kWinogradIn>, kWinogradIn> at;

  Matrix transposed() const {
    Matrix t{columns, rows, {}};
    for (size_t i = 0; i < kWinogradIn; ++i)
      for (size_t j = 0; j < kWinogradIn; ++j) t.at[j][i] = at[i][j];
    return t;
  }
};
constexpr Matrix kInput{6,
                        6,
                        {{{4, 0, -5, 0, 1, 0},
                          {0, -4, -4, 1, 1, 0},
                          {0, 4, -4, -1, 1, 0},
                          {0, -2, -1, 2, 1, 0},
                          {0, 2, -1, -2, 1, 0},
                          {0, 4, 0, -5, 0, 1}}}};
constexpr Matrix kOutput{
    4, 6, {{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}}};
constexpr Matrix kWeights{6,
                          3,
                          {{{1.0 / 4, 0, 0},
                            {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                            {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                            {1.0 / 24, 1.0 / 12, 1.0 / 6},
                            {1.0 / 24, -1.0 / 12, 1.0 / 6},
                            {0, 0, 1}}}};

// Element p of T d T^T; d(row, column)
template <class Value>
double both_ways(const Matrix& T, int p, Value d) {
  const auto row = static_cast<size_t>(p / T.rows), column = static_cast<size_t>(p % T.rows);
  double sum = 0;
  for (int i = 0; i < T.columns; ++i)
    for (int j = 0; j < T.columns; ++j)
      sum += T.at[row][static_cast<size_t>(i)] * T.at[column][static_cast<size_t>(j)] * d(i, j);
  return sum;
}

// Where pixel (i, j) of the tile of an element of a plane is in the images; negative: outside.
int64_t pixel(const TiledImages& images, int64_t element, int i, int j) {
  const int64_t c = element % images.channels, tile = element / images.channels,
                per_image = int64_t{images.down} * images.across, n = tile / per_image,
                y = tile % per_image / images.across * kWinogradOut - images.before + i,
                x = tile % images.across * kWinogradOut - images.before + j;
  if (y < 0 || y >= images.rows || x < 0 || x >= images.columns) return -1;
  return ((n * images.rows + y) * images.columns + x) * images.channels + c;
}

// transform(images, from, planes)
template <class Transform>
KernelRun to_planes(const TiledImages& images, const Matrix& T, Transform transform,
                    const std::string& name) {
  const BenchBuffer from = BenchBuffer::drawn({images.size()}, 1),
                    planes({kWinogradPlanes, images.plane()});
  KernelRun run{.result = planes.here(), .bytes = bytes_of({from, planes})};
  run.call = [=] {
    on_cuda(compute_stream(), [&] { transform(images, from.data(), planes.data()); });
  };
  run.check = [=] {
    planes.fetch();
    check_elements(name, planes.here(), kStride, kTolerance, [&](int64_t i) {
      const auto p = static_cast<int>(i / images.plane());
      return both_ways(T, p, [&](int row, int column) {
        const int64_t at = pixel(images, i % images.plane(), row, column);
        return at < 0 ? 0.0 : from.at(at);
      });
    });
  };
  return run;
}

KernelRun output(const TiledImages& images, const std::string& name) {
  const BenchBuffer planes = BenchBuffer::drawn({kWinogradPlanes, images.plane()}, 1),
                    y({images.size()});
  KernelRun run{.result = y.here(), .bytes = bytes_of({planes, y})};
  run.call = [=] {
    on_cuda(compute_stream(), [&] {
      kernels::cuda::winograd_output(compute_stream(), images, planes.data(), 0, y.data());
    });
  };
  run.check = [=] {
    y.fetch();
    for (int64_t element = 0; element < images.plane(); element += kStride)
      for (int p = 0; p < kWinogradOut * kWinogradOut; ++p) {
        const int64_t at = pixel(images, element, p / kWinogradOut, p % kWinogradOut);
        if (at < 0) continue;
        const double want = both_ways(kOutput, p, [&](int row, int column) {
          return planes.at((row * kWinogradIn + column) * images.plane() + element);
        });
        check_elements(name, y.here().slice(at, {1}), 1, kTolerance, [&](int64_t) { return want; });
      }
  };
  return run;
}

KernelRun weights(int64_t K, int64_t C, const std::string& name) {
  const BenchBuffer w = BenchBuffer::drawn({K, kTaps, C}, 1), planes({kWinogradPlanes, K * C});
  KernelRun run{.result = planes.here(), .bytes = bytes_of({w, planes})};
  run.call = [=] {
    on_cuda(compute_stream(), [&] {
      kernels::cuda::winograd_weights(compute_stream(), K, C, false, w.data(), planes.data());
    });
  };
  run.check = [=] {
    planes.fetch();
    check_elements(name, planes.here(), kStride, kTolerance, [&](int64_t i) {
      const int64_t k = i % (K * C) / C, c = i % C;
      return both_ways(kWeights, static_cast<int>(i / (K * C)),
                       [&](int r, int s) { return w.at((k * kTaps + 3 * r + s) * C + c); });
    });
  };
  return run;
}

KernelRun weight_gradient(int64_t K, int64_t C, int64_t parts, const std::string& name) {
  const BenchBuffer planes = BenchBuffer::drawn({kWinogradPlanes, parts, K * C}, 1),
                    dw({K, kTaps, C});
  KernelRun run{.result = dw.here(), .bytes = bytes_of({planes, dw})};
  run.call = [=] {
    on_cuda(compute_stream(), [&] {
      kernels::cuda::winograd_weight_gradient(compute_stream(), K, C, parts, planes.data(), 0,
                                              dw.data());
    });
  };
  run.check = [=] {
    dw.fetch();
    check_elements(name, dw.here(), kStride, kTolerance, [&](int64_t i) {
      const int64_t c = i % C, t = i / C % kTaps, k = i / C / kTaps;
      return both_ways(kWeights.transposed(), static_cast<int>(t), [&](int row, int column) {
        double sum = 0;
        for (int64_t part = 0; part < parts; ++part)
          sum += planes.at(((row * kWinogradIn + column) * parts + part) * K * C + k * C + c);
        return sum;
      });
    });
  };
  return run;
}

}  // namespace

void add_winograd_cases(std::vector<KernelCase>& rows, const std::vector<std::string>& models,
                        int64_t batch_size) {
  if (compute_stream().device == Device::cpu || kernels::precision() != kernels::Precision::fp32)
    return;
  for (const ConvCase& conv : conv_cases(models, batch_size)) {
    const Conv2dShape s = conv.shape;
    if (conv.direction != Direction::backward_weights ||
        kernels::conv_algo_for(s) != kernels::ConvAlgo::winograd)
      continue;
    const TiledImages in = kernels::cuda::winograd_inputs(s, s.N),
                      out = kernels::cuda::winograd_outputs(s, s.N);
    const auto row = [&](const char* kernel, std::string shape, auto prepare) {
      add_case(rows, {kernel, std::move(shape), {}, prepare});
    };
    const auto name_of = [](const TiledImages& i) {
      return fmt::format("{} {}x{}", i.channels, i.rows, i.columns);
    };
    const std::string panel = fmt::format("{}-{}", s.C, s.K);
    row("winograd input", name_of(in), [=](const std::string& name) {
      return to_planes(
          in, kInput,
          [](const TiledImages& images, const float* x, float* planes) {
            kernels::cuda::winograd_input(compute_stream(), images, x, planes);
          },
          name);
    });
    row("winograd output", name_of(out),
        [=](const std::string& name) { return output(out, name); });
    row("winograd output gradient", name_of(out), [=](const std::string& name) {
      return to_planes(
          out, kOutput.transposed(),
          [](const TiledImages& images, const float* dy, float* planes) {
            kernels::cuda::winograd_output_gradient(compute_stream(), images, dy, planes);
          },
          name);
    });
    row("winograd weights", panel,
        [=](const std::string& name) { return weights(s.K, s.C, name); });
    row("winograd weight gradient", panel, [=](const std::string& name) {
      return weight_gradient(s.K, s.C, kernels::cuda::winograd_parts(s, s.N), name);
    });
  }
}

}  // namespace expunge::tools
