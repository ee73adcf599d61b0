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

// Rows [begin, end) of a gradient; where it is pooled, their dy is made first.
class GradientChunk {
 public:
  GradientChunk(const BatchNormGradient& t, int64_t begin, int64_t end) {
    const int64_t C = t.shape.C, at = begin * C;
    const NormPassing passing = math::passing(t.shape.relu, t.y.at);
    rows_ = {.rows = end - begin,
             .C = C,
             .passing = passing,
             .x = t.x.f32() + at,
             .y = passing == NormPassing::by_output ? t.y.f32() + at : nullptr,
             .dy = nullptr,
             .a = t.line,
             .b = passing == NormPassing::by_line ? t.line + C : nullptr};
    if (t.pool.on()) {
      unpooled_ = Tensor(Shape{(end - begin) * C});
      norm_tiles().unpool(
          {begin, end, t.pool.width, C, t.dy.f32(), t.pool.which, unpooled_.data()});
    }
    rows_.dy = t.pool.on() ? unpooled_.data() : t.dy.f32() + at;
  }
  const NormGradientRows& rows() const { return rows_; }

 private:
  Tensor unpooled_;
  NormGradientRows rows_{};
};

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
    norm_tiles().moments({end - begin, C, x + begin * C, nullptr, sum, nullptr});
    for (int64_t c = 0; c < C; ++c) centre[c] = sum[c] / static_cast<float>(end - begin);
    std::fill_n(sum, C, 0.0f);
    const Tensor squares = Tensor::zeros(Shape{C});
    float* square = squares.data();
    norm_tiles().moments({end - begin, C, x + begin * C, centre, sum, square});
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
    math::batch_statistics(all, c, of);
  }
}

// Rows [begin, end), to y (end - begin, C).
void apply_rows(const BatchNormApply& of, int64_t begin, int64_t end, float* y) {
  const int64_t C = of.shape.C;
  const float *x = of.x.f32(), *residual = of.residual.f32();
  NormTile tile;
  tile.a = of.line, tile.b = of.line + C, tile.n = C;
  tile.relu = of.shape.relu, tile.adds = residual != nullptr;
  if (of.residual_line != nullptr) tile.ra = of.residual_line, tile.rb = of.residual_line + C;
  for (int64_t p = begin; p < end; p += tile.m) {
    tile.m = static_cast<int>(std::min<int64_t>(NormTile::kRows, end - p));
    for (int64_t i = 0, at = p * C; i < tile.m; ++i, at += C, y += C) {
      tile.x[i] = x + at, tile.y[i] = y;
      if (residual != nullptr) tile.residual[i] = residual + at;
    }
    norm_tiles().apply(tile);
  }
}

// By two rows of an image: what is pooled is still in the cache.
void apply_pooled(const BatchNormApply& of) {
  const int64_t C = of.shape.C, width = of.pool.width, windows = width / 2, outputs = windows * C,
                pair = 2 * width;  // pixels
  uint8_t* which = of.pool.which;
  parallel_for(of.shape.pixels / pair, [=](int64_t i) {
    const Tensor room(Shape{pair * C});
    const float *upper = room.data(), *lower = upper + width * C;
    apply_rows(of, i * pair, (i + 1) * pair, room.data());
    norm_tiles().pool({windows, C, upper, lower, of.y.f32() + i * outputs,
                       which != nullptr ? which + i * outputs : nullptr});
  });
}

void apply(const BatchNormApply& of) {
  if (of.pool.on()) return apply_pooled(of);
  const int64_t C = of.shape.C;
  for_chunks(of.shape.pixels, C, [&](int64_t, int64_t begin, int64_t end) {
    apply_rows(of, begin, end, of.y.f32() + begin * C);
  });
}

void sums(const BatchNormSums& of) {
  const auto [pixels, C, relu] = of.in.shape;
  const int64_t rows = chunk_rows(C), chunks = (pixels + rows - 1) / rows;
  const Tensor parts(
      Shape{std::max<int64_t>(1, chunks) * 2 * C});  // (chunks, {g, g (x - mean)}, C)
  for_chunks(pixels, C, [&, C = C](int64_t chunk, int64_t begin, int64_t end) {
    float* sum = parts.data() + chunk * 2 * C;
    std::fill_n(sum, 2 * C, 0.0f);
    const GradientChunk in(of.in, begin, end);
    norm_tiles().sums({in.rows(), of.in.mean, sum, sum + C});
  });
  for (int64_t c = 0; c < C; ++c) {
    double g = 0, gx = 0;
    for (int64_t k = 0; k < chunks; ++k) {
      g += double{parts.data()[k * 2 * C + c]};
      gx += double{parts.data()[k * 2 * C + C + c]};
    }
    of.sum_g[c] = g;
    of.sum_gx[c] = gx * double{of.in.invstd[c]};
  }
}

void backward(const BatchNormBackward& t) {
  const int64_t C = t.in.shape.C;
  const Tensor room(Shape{4 * C}), line(Shape{3 * C});  // dx = a g + b x + k
  double *sum_g = doubles(room), *sum_gx = sum_g + C;
  sums({t.in, sum_g, sum_gx});
  float *a = line.data(), *b = a + C, *k = b + C;
  for (int64_t c = 0; c < C; ++c) {
    const math::NormSums of{sum_g[c], sum_gx[c]};
    const math::NormSlope dx = math::norm_slope(t, c, of);
    a[c] = dx.a, b[c] = dx.b, k[c] = dx.k;
    math::norm_parameters(t, c, of);
  }
  const auto from_row = [&](const Values& v, int64_t row) {
    return v.at != nullptr ? v.f32() + row * C : nullptr;
  };
  for_chunks(t.in.shape.pixels, C, [&](int64_t, int64_t begin, int64_t end) {
    const GradientChunk in(t.in, begin, end);
    norm_tiles().backward({.in = in.rows(),
                           .a = a,
                           .b = b,
                           .k = k,
                           .beta_dx = t.beta_dx,
                           .beta_residual = t.beta_residual,
                           .dx = from_row(t.dx, begin),
                           .dresidual = from_row(t.dresidual, begin)});
  });
}

Tensor workspace(Stream stream, size_t bytes) {
  return Tensor(Shape{static_cast<int64_t>(bytes / sizeof(float))}, DType::f32, stream);
}

template <class T>
const auto& inputs_of(const T& batch) {
  if constexpr (requires { batch.in; })
    return batch.in;
  else
    return batch;
}

template <class T>
NormPool pool_of(const T& batch) {
  if constexpr (requires { inputs_of(batch).pool; })
    return inputs_of(batch).pool;
  else
    return {};
}

// What a pooled batch has none of, and what it needs.
bool fits_pool(const BatchNormApply& t) {
  return t.residual.at == nullptr;
}
bool fits_pool(const BatchNormGradient& t) {
  return t.y.at == nullptr && (t.pool.which != nullptr || t.shape.pixels == 0);
}
bool fits_pool(const BatchNormSums& t) {
  return fits_pool(t.in);
}
bool fits_pool(const BatchNormBackward& t) {
  return fits_pool(t.in) && t.dresidual.at == nullptr;
}
bool fits_pool(const BatchNormStatistics&) {
  return true;
}

// Batch by batch on the CPU; on_cuda() does all of them.
template <class T, class Cuda>
void each_batch(Stream stream, const Batches<T>& of, void (*on_cpu)(const T&), Cuda on_cuda) {
  EXPUNGE_CHECK(!of.empty() && of.size() <= size_t{kMostBatches}, "batch norm: {} batches",
                of.size());
  const BatchNormShape& first = inputs_of(of[0]).shape;
  const int64_t width = pool_of(of[0]).width;
  for (const T& batch : of) {
    const BatchNormShape& shape = inputs_of(batch).shape;
    EXPUNGE_CHECK(
        shape.C == first.C && shape.relu == first.relu && pool_of(batch).width == width,
        "batch norm: batches of {} and of {} channels, pooled by {} and by {} columns, or "
        "one with ReLU and one without",
        first.C, shape.C, width, pool_of(batch).width);
    EXPUNGE_CHECK(width == 0 || (width > 0 && width % 2 == 0 && shape.pixels % (2 * width) == 0),
                  "batch norm: {} pixels of {} columns are pooled, expected pairs of rows",
                  shape.pixels, width);
    EXPUNGE_CHECK(
        width == 0 || fits_pool(batch),
        "batch norm: a pooled batch has a residual, an output to mask by, or no places of maxima");
  }
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

void batch_norm_known(Stream stream, const BatchNormKnown& of) {
  const auto on_cpu = [&] {
    for (int64_t c = 0; c < of.C; ++c) math::known_statistics(of, c);
  };
  dispatch(stream, on_cpu, [&] { cuda::batch_norm_known(stream, of); });
}

void batch_norm_apply(Stream stream, const Batches<BatchNormApply>& of) {
  for (const BatchNormApply& batch : of) {
    const bool scales = batch.residual_line != nullptr;
    EXPUNGE_CHECK(
        scales == (of[0].residual_line != nullptr) && (!scales || batch.residual.at != nullptr),
        "batch norm: a line of a residual that is not there, or of one batch alone");
  }
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
    const Tensor room = workspace(stream, cuda::backward_workspace(of));
    cuda::batch_norm_backward(stream, of, room.bytes());
  });
}

}  // namespace expunge::kernels
