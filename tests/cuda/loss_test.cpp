#include "kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

// exp and log of another library, sums in another order; losses are rounded to float
constexpr double kClose = 1e-6;

struct Rows {
  int64_t N, C;
  Floats a = draw(N * C, 1), b = draw(N * C, 2);
  DeviceArray<float> dev_a{a}, dev_b{b};
};

using Call = std::function<void(const float* a, const float* b, float* losses, float* gradient)>;

void check(const Rows& rows, const Call& on_cpu, const Call& on_cuda) {
  const auto N = static_cast<size_t>(rows.N), size = rows.a.size();
  Floats losses(N), gradient(size);
  on_cpu(rows.a.data(), rows.b.data(), losses.data(), gradient.data());
  const DeviceArray<float> dev_losses(N), dev_gradient(size), alone(N);
  on_cuda(rows.dev_a.data(), rows.dev_b.data(), dev_losses.data(), dev_gradient.data());
  on_cuda(rows.dev_a.data(), rows.dev_b.data(), alone.data(), nullptr);
  check_near(dev_losses.values(), losses, kClose);
  check_near(dev_gradient.values(), gradient, kClose);
  CHECK(same_bits(alone.values(), dev_losses.values()));
}

void check_all(int64_t N, int64_t C) {
  CAPTURE(N);
  CAPTURE(C);
  const Rows rows{N, C};
  std::vector<int32_t> labels(static_cast<size_t>(N));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>((7 * i) % size_t(C));
  const DeviceArray<int32_t> dev_labels(labels);
  for (const float smoothing : {0.0f, 0.1f})
    check(
        rows,
        [&](const float* z, const float*, float* losses, float* gradient) {
          softmax_xent({}, {N, C, z, labels.data(), nullptr, smoothing}, losses, gradient);
        },
        [&](const float* z, const float*, float* losses, float* gradient) {
          cuda::softmax_xent(kStream, {N, C, z, dev_labels.data(), nullptr, smoothing}, losses,
                             gradient);
        });
  check(
      rows,
      [&](const float* z, const float* t, float* losses, float* gradient) {
        softmax_xent({}, {N, C, z, nullptr, t, 0}, losses, gradient);
      },
      [&](const float* z, const float* t, float* losses, float* gradient) {
        cuda::softmax_xent(kStream, {N, C, z, nullptr, t, 0}, losses, gradient);
      });
  check(
      rows,
      [&](const float* s, const float* t, float* losses, float* gradient) {
        softmax_kl({}, N, C, s, t, 2.5f, losses, gradient);
      },
      [&](const float* s, const float* t, float* losses, float* gradient) {
        cuda::softmax_kl(kStream, N, C, s, t, 2.5f, losses, gradient);
      });
  check(
      rows,
      [&](const float* s, const float* t, float* losses, float* gradient) {
        softmax_scrub({}, N, C, s, t, losses, gradient);
      },
      [&](const float* s, const float* t, float* losses, float* gradient) {
        cuda::softmax_scrub(kStream, N, C, s, t, losses, gradient);
      });
  check(
      rows,
      [&](const float* x, const float* t, float* losses, float* gradient) {
        squared_error({}, N, C, x, t, losses, gradient);
      },
      [&](const float* x, const float* t, float* losses, float* gradient) {
        cuda::squared_error(kStream, N, C, x, t, losses, gradient);
      });
  Floats p(rows.a.size());
  const DeviceArray<float> dev_p(p.size());
  softmax({}, N, C, rows.a.data(), p.data());
  cuda::softmax(kStream, N, C, rows.dev_a.data(), dev_p.data());
  check_near(dev_p.values(), p, kClose);
}

}  // namespace

TEST_CASE("cuda losses: like the CPU's, with and without the gradient") {
  for (const int64_t C : {1, 2, 10, 31, 32, 33, 100}) check_all(5, C);
  for (const int64_t N : {0, 1, 3, 4, 33}) check_all(N, 10);
}

TEST_CASE("cuda losses: large logits neither overflow nor lose the others") {
  const Floats z = {1000, 0, -1000, -80, -81, -82};
  const std::vector<int32_t> labels = {0, 1};
  const DeviceArray<float> dev_z(z), losses(2), gradient(6);
  const DeviceArray<int32_t> dev_labels(labels);
  cuda::softmax_xent(kStream, {2, 3, dev_z.data(), dev_labels.data(), nullptr, 0}, losses.data(),
                     gradient.data());
  check_near(losses.values(),
             {0.0f, static_cast<float>(std::log(std::exp(1.0) + 1 + std::exp(-1.0)))}, kClose);
  CHECK(gradient.values()[0] == 0.0f);
}

TEST_CASE("cuda loss: top1 is 1 where the first largest number is the label's") {
  for (const auto& [N, C] : {std::pair<int64_t, int64_t>{1, 1}, {300, 2}, {257, 10}, {33, 101}}) {
    Floats x = draw(N * C, 3);
    for (float& v : x) v = std::round(2 * v) / 2;  // ties
    std::vector<int32_t> labels;
    Floats hits(static_cast<size_t>(N)), expected;
    for (int64_t i = 0; i < N; ++i) {
      const auto row = x.begin() + i * C;
      const auto best = static_cast<int32_t>(std::max_element(row, row + C) - row);
      labels.push_back(i % 3 == 0 ? best : static_cast<int32_t>(i % C));
      expected.push_back(labels.back() == best ? 1.0f : 0.0f);
    }
    const DeviceArray<float> dev_x(x), dev_hits(hits.size());
    const DeviceArray<int32_t> dev_labels(labels);
    top1({}, N, C, x.data(), labels.data(), hits.data());
    cuda::top1(kStream, N, C, dev_x.data(), dev_labels.data(), dev_hits.data());
    CHECK(hits == expected);
    CHECK(dev_hits.values() == expected);
  }
}

}  // namespace expunge::kernels
