#include "kernels/loss.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/loss_math.h"

namespace expunge::kernels {
namespace {

constexpr int64_t kRows = 64;  // rows of a task

template <class Row>
void for_rows(int64_t N, Row row) {
  parallel_for((N + kRows - 1) / kRows, [&](int64_t chunk) {
    for (int64_t i = chunk * kRows; i < std::min(N, (chunk + 1) * kRows); ++i) row(i);
  });
}

}  // namespace

void softmax_xent(Stream stream, const SoftmaxXent& a, float* losses, float* gradient) {
  const auto row = [&](int64_t i) { math::softmax_xent(math::Alone{}, a, i, losses, gradient); };
  dispatch(
      stream, [&] { for_rows(a.N, row); },
      [&] { cuda::softmax_xent(stream, a, losses, gradient); });
}

void softmax_kl(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                float temperature, float* losses, float* gradient) {
  const auto row = [&](int64_t i) {
    math::softmax_kl(math::Alone{}, C, student, teacher, temperature, i, losses, gradient);
  };
  dispatch(
      stream, [&] { for_rows(N, row); },
      [&] { cuda::softmax_kl(stream, N, C, student, teacher, temperature, losses, gradient); });
}

void softmax_scrub(Stream stream, int64_t N, int64_t C, const float* student, const float* teacher,
                   float* losses, float* gradient) {
  const auto row = [&](int64_t i) {
    math::softmax_scrub(math::Alone{}, C, student, teacher, i, losses, gradient);
  };
  dispatch(
      stream, [&] { for_rows(N, row); },
      [&] { cuda::softmax_scrub(stream, N, C, student, teacher, losses, gradient); });
}

void squared_error(Stream stream, int64_t N, int64_t C, const float* x, const float* targets,
                   float* losses, float* gradient) {
  const auto row = [&](int64_t i) {
    math::squared_error(math::Alone{}, C, x, targets, i, losses, gradient);
  };
  dispatch(
      stream, [&] { for_rows(N, row); },
      [&] { cuda::squared_error(stream, N, C, x, targets, losses, gradient); });
}

void softmax(Stream stream, int64_t N, int64_t C, const float* x, float* y) {
  const auto row = [&](int64_t i) { math::softmax(math::Alone{}, C, x, i, y); };
  dispatch(
      stream, [&] { for_rows(N, row); }, [&] { cuda::softmax(stream, N, C, x, y); });
}

void top1(Stream stream, int64_t N, int64_t C, const float* x, const int32_t* labels, float* hits) {
  const auto row = [&](int64_t i) { hits[i] = math::top1(C, x + i * C, labels[i]); };
  dispatch(
      stream, [&] { for_rows(N, row); }, [&] { cuda::top1(stream, N, C, x, labels, hits); });
}

}  // namespace expunge::kernels
