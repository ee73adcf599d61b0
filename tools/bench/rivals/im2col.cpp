#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "tools/bench/rivals/rival.h"

namespace expunge::rivals {
namespace {

using kernels::Conv2dShape;
using tools::Direction;

constexpr int64_t kRows = 256;  // output pixels of a product at least, where there are so many

struct Images {
  int64_t begin, end;
};

// Calls f(float* in the row of `columns`, offset in x of its C values or -1) for every window.
template <class F>
void for_windows(const Conv2dShape& s, Images images, float* columns, F f) {
  for (int64_t n = images.begin; n < images.end; ++n)
    for (int64_t p = 0; p < s.P(); ++p)
      for (int64_t q = 0; q < s.Q(); ++q)
        for (int64_t r = 0; r < s.R; ++r)
          for (int64_t t = 0; t < s.S; ++t, columns += s.C) {
            const int64_t h = p * s.stride - s.pad + r, w = q * s.stride - s.pad + t;
            const bool inside = h >= 0 && h < s.H && w >= 0 && w < s.W;
            f(columns, inside ? ((n * s.H + h) * s.W + w) * s.C : -1);
          }
}

void im2col(const Conv2dShape& s, Images images, const float* x, float* columns) {
  const size_t bytes = static_cast<size_t>(s.C) * sizeof(float);
  for_windows(s, images, columns, [=](float* to, int64_t from) {
    if (from >= 0)
      std::memcpy(to, x + from, bytes);
    else
      std::memset(to, 0, bytes);
  });
}

void col2im(const Conv2dShape& s, Images images, float* columns, float* dx) {
  const int64_t image = s.H * s.W * s.C;
  std::fill(dx + images.begin * image, dx + images.end * image, 0.0f);
  for_windows(s, images, columns, [=](const float* from, int64_t to) {
    for (int64_t c = 0; to >= 0 && c < s.C; ++c) dx[to + c] += from[c];
  });
}

}  // namespace

// A thread's share of the images, some at a time:
//   forward           y (rows, K) = columns (rows, RSC) w^T
//   backward data     columns = dy (rows, K) w (K, RSC), added into dx
//   backward weights  dw (K, RSC) = sum dy^T columns, one sum a thread, then added
// w^T is made anew in each call: weights change in each step of training.
Prepare im2col_convolution(void (*multiply)(const Product&)) {
  return [=](const Problem& problem) -> Prepared {
    const Conv2dShape s = problem.shape;
    const int64_t pixels = s.P() * s.Q(), depth = s.R * s.S * s.C, threads = thread_count();
    const int64_t share = (s.N + threads - 1) / threads;
    const int64_t some = std::min(share, std::max<int64_t>(1, kRows / pixels));
    const Tensor columns({threads, some * pixels * depth}), turned({depth, s.K});
    const Tensor sums({threads, s.K * depth});
    const auto of_thread = [=](int64_t thread) {
      float* col = columns.data() + thread * some * pixels * depth;
      float* dw = sums.data() + thread * s.K * depth;
      bool first = true;
      for (int64_t n = thread * share; n < std::min(s.N, (thread + 1) * share); n += some) {
        const Images images{n, std::min({s.N, (thread + 1) * share, n + some})};
        const int64_t rows = (images.end - images.begin) * pixels;
        float* y = problem.y.data() + n * pixels * s.K;
        if (problem.direction != Direction::backward_data) im2col(s, images, problem.x.data(), col);
        if (problem.direction == Direction::forward)
          multiply({false, rows, s.K, depth, col, turned.data(), 0, y});
        else if (problem.direction == Direction::backward_weights)
          multiply({true, s.K, depth, rows, y, col, first ? 0.0f : 1.0f, dw});
        else
          multiply({false, rows, depth, s.K, y, problem.w.data(), 0, col});
        if (problem.direction == Direction::backward_data) col2im(s, images, col, problem.x.data());
        first = false;
      }
      if (first) std::fill_n(dw, s.K * depth, 0.0f);
    };
    return {.call = [=] {
      if (problem.direction == Direction::forward)
        parallel_for(s.K, [&](int64_t k) {
          for (int64_t d = 0; d < depth; ++d)
            turned.data()[d * s.K + k] = problem.w.data()[k * depth + d];
        });
      parallel_for(threads, of_thread);
      if (problem.direction != Direction::backward_weights) return;
      parallel_ranges(s.K * depth, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          float sum = 0;
          for (int64_t t = 0; t < threads; ++t) sum += sums.data()[t * s.K * depth + i];
          problem.w.data()[i] = sum;
        }
      });
    }};
  };
}

}  // namespace expunge::rivals
