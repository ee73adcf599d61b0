#include "kernels/batch_norm.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/tensor.h"
#include "kernels/batch_norm_math.h"
#include "kernels/norm_tile.h"

namespace expunge::kernels {
namespace {

// Rows of a chunk: about kElementChunk elements, fixed by the shape, so sums do not depend on
// threads.
int64_t chunk_rows(int64_t C) {
  return std::max<int64_t>(16, kElementChunk / std::max<int64_t>(1, C));
}

template <class Body>
void for_chunks(int64_t pixels, int64_t C, Body body) {
  const int64_t rows = chunk_rows(C);
  parallel_for((pixels + rows - 1) / rows, [&](int64_t chunk) {
    const int64_t begin = chunk * rows;
    body(chunk, begin, std::min(begin + rows, pixels));
  });
}

double* doubles(const Tensor& t) {
  return static_cast<double*>(t.bytes());
}

// Adds one chunk's rows to sum_g and sum_gx = sum g (x - mean).
template <bool kRelu>
void add_sums(int64_t C, int64_t begin, int64_t end, const float* x, const float* y,
              const float* dy, const float* mean, float* __restrict sum_g,
              float* __restrict sum_gx) {
  for (int64_t p = begin; p < end; ++p) {
    const float *in = x + p * C, *out = y + p * C, *d = dy + p * C;
    for (int64_t c = 0; c < C; ++c) {
      const float g = math::masked(kRelu, d[c], out[c]);
      sum_g[c] += g;
      sum_gx[c] += g * (in[c] - mean[c]);
    }
  }
}

// One row: dresidual = beta dresidual + g, dx = beta dx + a g + b x + k
template <bool kRelu>
void backward_row(int64_t C, const BatchNormBackward& t, int64_t at, const float* a, const float* b,
                  const float* k) {
  const float *x = t.x.f32() + at, *y = t.y.f32() + at, *dy = t.dy.f32() + at;
  if (t.dresidual.at != nullptr) {
    float* __restrict out = t.dresidual.f32() + at;
    if (t.beta_residual == 0.0f)
      for (int64_t c = 0; c < C; ++c) out[c] = math::masked(kRelu, dy[c], y[c]);
    else
      for (int64_t c = 0; c < C; ++c)
        out[c] = t.beta_residual * out[c] + math::masked(kRelu, dy[c], y[c]);
  }
  if (t.dx.at != nullptr) {
    float* __restrict out = t.dx.f32() + at;
    if (t.beta_dx == 0.0f)
      for (int64_t c = 0; c < C; ++c)
        out[c] = a[c] * math::masked(kRelu, dy[c], y[c]) + b[c] * x[c] + k[c];
    else
      for (int64_t c = 0; c < C; ++c)
        out[c] =
            t.beta_dx * out[c] + (a[c] * math::masked(kRelu, dy[c], y[c]) + b[c] * x[c] + k[c]);
  }
}

// A chunk's mean first, then its sum of squared deviations while it is still in the cache; chunks
// are joined in order by Chan, Golub & LeVeque's update. No cancellation where the mean is large.
void statistics(const BatchNormStatistics& of) {
  const int64_t C = of.shape.C, pixels = of.shape.pixels, rows = chunk_rows(C),
                chunks = (pixels + rows - 1) / rows;
  const float* x = of.x.f32();
  const Tensor parts(Shape{2 * chunks * 2 * C});  // (chunks, {mean, M2}, C) doubles
  for_chunks(pixels, C, [&](int64_t chunk, int64_t begin, int64_t end) {
    double *m = doubles(parts) + chunk * 2 * C, *m2 = m + C;
    const Tensor sums(Shape{2 * C});
    float *sum = sums.data(), *centre = sum + C;
    std::fill_n(sum, C, 0.0f);
    for (int64_t p = begin; p < end; ++p)
      for (int64_t c = 0; c < C; ++c) sum[c] += x[p * C + c];
    for (int64_t c = 0; c < C; ++c) centre[c] = sum[c] / static_cast<float>(end - begin);
    std::fill_n(sum, C, 0.0f);
    const Tensor squares = Tensor::zeros(Shape{C});
    float* square = squares.data();
    for (int64_t p = begin; p < end; ++p)
      for (int64_t c = 0; c < C; ++c) {
        const float d = x[p * C + c] - centre[c];
        sum[c] += d;
        square[c] += d * d;
      }
    const double n = static_cast<double>(end - begin);
    for (int64_t c = 0; c < C; ++c) {  // the centre is rounded: `sum` is what is left
      m[c] = double{centre[c]} + double{sum[c]} / n;
      m2[c] = double{square[c]} - double{sum[c]} * double{sum[c]} / n;
    }
  });
  for (int64_t c = 0; c < C; ++c) {
    math::ChannelMoments all{};
    for (int64_t k = 0; k < chunks; ++k) {
      const double *m = doubles(parts) + k * 2 * C, *m2 = m + C;
      math::merge(all, {static_cast<double>(std::min(rows, pixels - k * rows)), m[c], m2[c]});
    }
    math::batch_statistics(all, c, of.eps, of.running, of.mean, of.invstd);
  }
}

void apply(const BatchNormApply& of) {
  const int64_t C = of.shape.C;
  const float *x = of.x.f32(), *residual = of.residual.f32();
  float* y = of.y.f32();
  const Tensor line(Shape{2 * C});
  norm_lines(C, of.parameters, line.data());
  for_chunks(of.shape.pixels, C, [&](int64_t, int64_t begin, int64_t end) {
    NormTile tile;
    tile.a = line.data(), tile.b = line.data() + C, tile.n = C;
    tile.relu = of.shape.relu, tile.adds = residual != nullptr;
    for (int64_t p = begin; p < end; p += tile.m) {
      tile.m = static_cast<int>(std::min<int64_t>(NormTile::kRows, end - p));
      for (int64_t i = 0, at = p * C; i < tile.m; ++i, at += C) {
        tile.x[i] = x + at, tile.y[i] = y + at;
        if (residual != nullptr) tile.residual[i] = residual + at;
      }
      norm_tile(tile);
    }
  });
}

void sums(const BatchNormSums& of) {
  const auto [pixels, C, relu] = of.shape;
  const int64_t rows = chunk_rows(C), chunks = (pixels + rows - 1) / rows;
  const Tensor parts(
      Shape{std::max<int64_t>(1, chunks) * 2 * C});  // (chunks, {g, g (x - mean)}, C)
  const auto add = relu ? add_sums<true> : add_sums<false>;
  for_chunks(pixels, C, [&, C = C](int64_t chunk, int64_t begin, int64_t end) {
    float *g_sum = parts.data() + chunk * 2 * C, *gx_sum = g_sum + C;
    std::fill_n(g_sum, 2 * C, 0.0f);
    add(C, begin, end, of.x.f32(), of.y.f32(), of.dy.f32(), of.mean, g_sum, gx_sum);
  });
  for (int64_t c = 0; c < C; ++c) {
    double g = 0, gx = 0;
    for (int64_t k = 0; k < chunks; ++k) {
      g += double{parts.data()[k * 2 * C + c]};
      gx += double{parts.data()[k * 2 * C + C + c]};
    }
    of.sum_g[c] = g;
    of.sum_gx[c] = gx * double{of.invstd[c]};
  }
}

void backward(const BatchNormBackward& t) {
  const int64_t C = t.shape.C;
  const Tensor line(Shape{3 * C});  // dx = a g + b x + k
  float *a = line.data(), *b = a + C, *k = b + C;
  for (int64_t c = 0; c < C; ++c) {
    const math::NormSlope dx = math::norm_slope(t, c);
    a[c] = dx.a, b[c] = dx.b, k[c] = dx.k;
    math::norm_parameters(t, c);
  }
  for_chunks(t.shape.pixels, C, [&](int64_t, int64_t begin, int64_t end) {
    const auto row = t.shape.relu ? backward_row<true> : backward_row<false>;
    for (int64_t p = begin; p < end; ++p) row(C, t, p * C, a, b, k);
  });
}

Tensor workspace(Stream stream, size_t bytes) {
  return Tensor(Shape{static_cast<int64_t>(bytes / sizeof(float))}, DType::f32, stream);
}

// Batch by batch on the CPU; on_cuda() does all of them.
template <class T, class Cuda>
void each_batch(Stream stream, const Batches<T>& of, void (*on_cpu)(const T&), Cuda on_cuda) {
  EXPUNGE_CHECK(!of.empty() && of.size() <= size_t{kMostBatches}, "batch norm: {} batches",
                of.size());
  for (const T& batch : of)
    EXPUNGE_CHECK(batch.shape.C == of[0].shape.C && batch.shape.relu == of[0].shape.relu,
                  "batch norm: batches of {} and of {} channels, or one with ReLU and one without",
                  of[0].shape.C, batch.shape.C);
  const auto in_turn = [&] {
    for (const T& batch : of) on_cpu(batch);
  };
  dispatch(stream, in_turn, on_cuda);
}

}  // namespace

void batch_norm_statistics(Stream stream, const Batches<BatchNormStatistics>& of) {
  each_batch(stream, of, statistics, [&] {
    const Tensor parts = workspace(stream, cuda::statistics_workspace(of));
    cuda::batch_norm_statistics(stream, of, parts.bytes());
  });
}

void batch_norm_invstd(Stream stream, int64_t C, const float* var, float eps, float* invstd) {
  const auto on_cpu = [&] {
    for (int64_t c = 0; c < C; ++c) invstd[c] = math::norm_invstd(var[c], eps);
  };
  dispatch(stream, on_cpu, [&] { cuda::batch_norm_invstd(stream, C, var, eps, invstd); });
}

void norm_lines(int64_t C, const NormParameters& p, float* line) {
  for (int64_t c = 0; c < C; ++c) {
    const math::NormLine of = math::norm_line(p.mean[c], p.invstd[c], p.gamma[c], p.beta[c]);
    line[c] = of.a, line[C + c] = of.b;
  }
}

void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of) {
  each_batch(stream, of, apply, [&] { cuda::batch_norm_apply(stream, of); });
}

void batch_norm_sums(Stream stream, const Batches<BatchNormSums>& of) {
  each_batch(stream, of, sums, [&] {
    const Tensor parts = workspace(stream, cuda::sums_workspace(of));
    cuda::batch_norm_sums(stream, of, parts.bytes());
  });
}

void batch_norm_backward(Stream stream, const Batches<BatchNormBackward>& of) {
  each_batch(stream, of, backward, [&] {
    const Tensor slopes({static_cast<int64_t>(of.size()), 3, of[0].shape.C}, DType::f32, stream);
    cuda::batch_norm_backward(stream, of, slopes.data());
  });
}

}  // namespace expunge::kernels
