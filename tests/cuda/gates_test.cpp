#include "kernels/gates.h"

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

// Sizes of several blocks as well; values with many ties.
constexpr size_t kGateSizes[] = {1, 2, 31, 33, 257, 5000};

Floats with_ties(size_t n, uint64_t key) {
  Floats x = draw(n, key);
  for (float& v : x) v = std::round(4 * v) / 4;
  return x;
}

// phi: in [0, 1], some equal
Floats focus_like(size_t n, uint64_t key) {
  Floats x = draw(n, key);
  for (size_t i = 0; i < n; ++i) x[i] = i % 3 == 0 ? 0.9375f : 1 / (1 + std::exp(-2 * x[i]));
  return x;
}

template <class OnCpu, class OnCuda>
void check(const Floats& in, const OnCpu& on_cpu, const OnCuda& on_cuda) {
  Floats w(in.size());
  const DeviceArray<float> dev_in(in), dev_w(in.size());
  const DeviceArray<char> workspace(cuda::gate_workspace());
  on_cpu(in, w);
  on_cuda(dev_in.data(), dev_w.data(), workspace.data());
  CHECK(same_bits(dev_w.values(), w));
}

}  // namespace

TEST_CASE("cuda gate top: ties by index, from none to all") {
  for (const size_t n : kGateSizes)
    for (const double share : {0.0, 0.01, 0.5, 0.9, 1.0})
      for (const bool ties : {false, true}) {
        CAPTURE(n);
        CAPTURE(share);
        const auto size = static_cast<int64_t>(n);
        const auto keep = std::llround(share * static_cast<double>(n));
        check(
            ties ? with_ties(n, 1) : draw(n, 2),
            [&](const Floats& x, Floats& w) { gate_top(x, keep, w); },
            [&](const float* x, float* w, void* workspace) {
              cuda::gate_top(kStream, size, x, keep, w, workspace);
            });
      }
}

TEST_CASE("cuda gate saliency: at least the quantile, both ways between two values") {
  for (const size_t n : kGateSizes)
    for (const double q : {0.0, 0.3, 0.5, 0.77, 1.0})
      for (const Quantile how : {Quantile::linear, Quantile::midpoint})
        for (const bool ties : {false, true}) {
          CAPTURE(n);
          CAPTURE(q);
          check(
              ties ? with_ties(n, 3) : draw(n, 4),
              [&](const Floats& x, Floats& w) { gate_saliency(x, q, how, w); },
              [&](const float* x, float* w, void* workspace) {
                cuda::gate_saliency(kStream, static_cast<int64_t>(n), x, q, how, w, workspace);
              });
        }
}

TEST_CASE("cuda gate fdr: the largest set whose mean risk is small enough") {
  for (const size_t n : kGateSizes)
    for (const double alpha : {0.0, 0.01, 0.1, 0.3, 1.0}) {
      CAPTURE(n);
      CAPTURE(alpha);
      check(
          focus_like(n, 5), [&](const Floats& x, Floats& w) { gate_fdr(x, alpha, w); },
          [&](const float* x, float* w, void* workspace) {
            cuda::gate_fdr(kStream, static_cast<int64_t>(n), x, alpha, w, workspace);
          });
    }
}

}  // namespace expunge::kernels
