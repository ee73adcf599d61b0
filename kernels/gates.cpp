#include "kernels/gates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/tensor.h"
#include "kernels/gates_math.h"

namespace expunge::kernels {
namespace {

using math::order_bits;

// The element with `rank` smaller or equal ones before it: a radix select.
uint32_t select(std::span<const float> values, int64_t rank) {
  uint32_t found = 0, known = 0;  // the bits of `known` are decided
  for (const auto [shift, width] : math::kDigits) {
    std::array<int64_t, math::kMostDigits> count{};
    const uint32_t mask = (1u << width) - 1;
    for (float v : values) {
      const uint32_t bits = order_bits(v);
      if ((bits & known) == found) ++count[(bits >> shift) & mask];
    }
    uint32_t digit = 0;
    for (; rank >= count[digit]; ++digit) rank -= count[digit];
    found |= digit << shift, known |= mask << shift;
  }
  return found;
}

}  // namespace

double quantile(std::span<const float> values, double q, Quantile how) {
  EXPUNGE_CHECK(q >= 0 && q <= 1 && !values.empty(), "quantile {} of {} values", q, values.size());
  std::vector<float> v(values.begin(), values.end());
  const math::QuantilePlace place = math::quantile_place(q, std::ssize(v));
  const auto low = static_cast<size_t>(place.low);
  const auto at_low = v.begin() + static_cast<std::ptrdiff_t>(low);
  std::nth_element(v.begin(), at_low, v.end());
  const double below = double{*at_low};
  const double above = low + 1 < v.size() ? double{*std::min_element(at_low + 1, v.end())} : below;
  const double share = place.part == 0 ? 0 : how == Quantile::midpoint ? 0.5 : place.part;
  return below + share * (above - below);
}

void gate_saliency(std::span<const float> s, double q, Quantile how, std::span<float> w) {
  if (s.empty()) return;
  std::vector<float> size(s.size());
  for (size_t i = 0; i < s.size(); ++i) size[i] = std::abs(s[i]);
  const double threshold = quantile(size, q, how);
  for (size_t i = 0; i < s.size(); ++i) w[i] = double{std::abs(s[i])} >= threshold ? 1.0f : 0.0f;
}

void gate_top(std::span<const float> score, int64_t keep, std::span<float> w) {
  const auto n = std::ssize(score);
  EXPUNGE_CHECK(keep >= 0 && keep <= n, "top: {} of {} parameters", keep, n);
  if (keep == 0) return std::ranges::fill(w, 0.0f), void();
  const uint32_t least = select(score, n - keep);
  int64_t ties = keep;
  for (float v : score) ties -= order_bits(v) > least;
  for (size_t i = 0; i < score.size(); ++i) w[i] = order_bits(score[i]) > least ? 1.0f : 0.0f;
  for (size_t i = 0; ties > 0; ++i)
    if (order_bits(score[i]) == least) w[i] = 1.0f, --ties;
}

int64_t gate_fdr(std::span<const float> phi, double alpha, std::span<float> w) {
  // 1 - phi rises along the order, and with it its running mean: the set ends in the first class of
  // phi (its upper 16 bits) whose sum is too large.
  constexpr size_t kUpper = size_t{1} << 16;
  std::vector<int64_t> risks(kUpper);  // of risk_of: sums do not depend on the order
  std::vector<int64_t> counts(kUpper);
  for (float p : phi) {
    const uint32_t bits = order_bits(p) >> 16;
    risks[bits] += math::risk_of(p);
    ++counts[bits];
  }
  int64_t risk = 0, keep = 0;
  size_t last = kUpper;
  const auto fits = [&](int64_t r, int64_t n) { return math::risk_fits(r, n, alpha); };
  while (last > 0 && fits(risk + risks[last - 1], keep + counts[last - 1]))
    --last, risk += risks[last], keep += counts[last];
  if (last > 0) {
    std::vector<float> rest;
    for (float p : phi)
      if (order_bits(p) >> 16 == last - 1) rest.push_back(p);
    std::ranges::sort(rest, std::greater<>());
    for (float p : rest) {
      risk += math::risk_of(p);
      if (!fits(risk, keep + 1)) break;
      ++keep;
    }
  }
  gate_top(phi, keep, w);
  return keep;
}

namespace {

Tensor workspace(Stream stream, size_t bytes = cuda::gate_workspace()) {
  return Tensor({static_cast<int64_t>(bytes)}, DType::u8, stream);
}

}  // namespace

void gate_saliency(Stream stream, std::span<const GateTensor> tensors, std::span<const float> s,
                   double q, Quantile how, std::span<float> w) {
  const auto on_cpu = [&] {
    for (const GateTensor& t : tensors) {
      const auto at = static_cast<size_t>(t.offset), n = static_cast<size_t>(t.size);
      gate_saliency(s.subspan(at, n), q, how, w.subspan(at, n));
    }
  };
  dispatch(stream, on_cpu, [&] {
    const Tensor memory = workspace(stream, cuda::gate_saliency_workspace());
    cuda::gate_saliency(stream, tensors, s.data(), q, how, w.data(), memory.bytes());
  });
}

void gate_top(Stream stream, std::span<const float> score, int64_t keep, std::span<float> w) {
  const auto on_cuda = [&] {
    cuda::gate_top(stream, std::ssize(score), score.data(), keep, w.data(),
                   workspace(stream).bytes());
  };
  dispatch(
      stream, [&] { gate_top(score, keep, w); }, on_cuda);
}

void gate_fdr(Stream stream, std::span<const float> phi, double alpha, std::span<float> w) {
  const auto on_cuda = [&] {
    cuda::gate_fdr(stream, std::ssize(phi), phi.data(), alpha, w.data(), workspace(stream).bytes());
  };
  dispatch(
      stream, [&] { gate_fdr(phi, alpha, w); }, on_cuda);
}

}  // namespace expunge::kernels
