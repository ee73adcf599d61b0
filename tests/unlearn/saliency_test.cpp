#include "unlearn/saliency.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

#include "core/rng.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"
#include "unlearn/pass.h"

// What msg, ct and salun do before the first step, against their definitions.
namespace expunge::unlearn {
namespace {

using test::Images, test::kClasses, test::tiny;
using Vector = std::vector<double>;

// The gradient of an objective over a batch, by a tape of its own; statistics are a copy's.
Vector gradient(const nn::Model& model, const char* name, BatchNormMode batch_norm,
                const Batch& batch) {
  ParamStore values = model.params.clone();
  const Tensor grads = values.make_buffer();
  Tape tape;
  tape.bind(values, {grads, 0.0f});
  const Mode mode = batch_norm == BatchNormMode::eval ? Mode::eval : Mode::train;
  loss_of({*model.network, values, objective(name), batch_norm, nullptr, mode}, batch, {}, &tape);
  return {grads.span().begin(), grads.span().end()};
}

// Where the parameters are in flat buffers, in their order.
std::vector<size_t> places(const nn::Model& model) {
  std::vector<size_t> all;
  for (const Range& range : model.params.parameters())
    for (int64_t i = 0; i < range.size; ++i) all.push_back(static_cast<size_t>(range.offset + i));
  return all;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.span().size_bytes()) == 0;
}

}  // namespace

TEST_CASE("salun's mask: the largest sums of gradients over F, in evaluation mode") {
  nn::Model model = tiny();
  Images forget(1000, 3);
  const ParamStore before = model.params.clone();
  Vector sum(static_cast<size_t>(model.params.values().size()));
  for (int64_t k = 0; k < 3; ++k) {
    const Vector g = gradient(model, "ascent", BatchNormMode::eval, forget.at(kBeforeFirstStep, k));
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += g[i];
  }
  std::vector<size_t> order = places(model);
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](size_t i) { return std::abs(sum[i]); });
  for (const double share : {0.0, 0.3, 0.5, 1.0}) {
    CAPTURE(share);
    const Tensor mask = saliency_mask(model, forget, share);
    const auto kept = static_cast<size_t>(share * static_cast<double>(order.size()));
    int64_t unsure = 0;
    for (size_t k = 0; k < order.size(); ++k) {
      // sums in float: another order near the end of what is kept
      const double edge = kept == 0 || kept == order.size() ? -1 : std::abs(sum[order[kept]]);
      if (std::abs(std::abs(sum[order[k]]) - edge) < 1e-7) {
        ++unsure;
        continue;
      }
      REQUIRE(mask.data()[order[k]] == (k < kept ? 1.0f : 0.0f));
    }
    CHECK(unsure < 20);
    CHECK(static_cast<size_t>(std::ranges::count(mask.span(), 1.0f)) == kept);
  }
  CHECK(same_bits(model.params.values(), before.values()));
  CHECK(same_bits(model.params.statistic_values(), before.statistic_values()));
}

TEST_CASE("msg: parameters with the lowest 0.3 of min(|g_f|, |g_r|) times normal numbers") {
  nn::Model model = tiny();
  Images forget(1000, 3), retain(5000, 2);  // the retain batches begin anew
  const ParamStore before = model.params.clone();
  Vector s(static_cast<size_t>(model.params.values().size()));
  for (int64_t k = 0; k < 3; ++k) {
    const Vector g_f =
        gradient(model, "ascent", BatchNormMode::frozen, forget.at(kBeforeFirstStep, k));
    const Vector g_r =
        gradient(model, "ce", BatchNormMode::frozen, retain.at(kBeforeFirstStep, k % 2));
    for (size_t i = 0; i < s.size(); ++i) s[i] += std::min(std::abs(g_f[i]), std::abs(g_r[i]));
  }
  const int64_t perturbed = perturb_indifferent(model, forget, retain, 11);
  CHECK(same_bits(model.params.statistic_values(), before.statistic_values()));
  uint32_t element = 0;
  int64_t expected = 0, unsure = 0;
  double sum = 0, squares = 0;
  for (const Range& range : model.params.parameters()) {
    const auto first = s.begin() + range.offset;
    Vector sorted(first, first + range.size);
    std::ranges::sort(sorted);
    const double place = 0.3 * static_cast<double>(range.size - 1);
    const double threshold = (sorted[static_cast<size_t>(std::floor(place))] +
                              sorted[static_cast<size_t>(std::ceil(place))]) /
                             2;
    for (int64_t i = 0; i < range.size; ++i, ++element) {
      const auto at = static_cast<size_t>(range.offset + i);
      const float was = before.values().data()[at], is = model.params.values().data()[at];
      const rng::Draw draw = rng::philox(11, rng::Purpose::perturb, {{element, 0, 0, 0}});
      // Box and Muller: cosine of the second number, length from the first
      const double u = ((draw.word[0] >> 8) + 0.5) * 0x1p-24,
                   angle = 2 * std::numbers::pi * (draw.word[1] >> 8) * 0x1p-24;
      const double normal = std::sqrt(-2 * std::log(u)) * std::cos(angle);
      if (std::abs(s[at] - threshold) < 1e-6 * threshold) {  // sums in float
        ++unsure;
        continue;
      }
      const bool low = s[at] <= threshold;
      expected += low;
      if (!low) REQUIRE(is == was);
      if (low && was != 0) {
        REQUIRE(double{is} == doctest::Approx(double{was} * normal).epsilon(1e-6));
        sum += normal, squares += normal * normal;
      }
    }
  }
  CHECK(std::abs(perturbed - expected) <= unsure);
  CHECK(unsure < 10);
  const auto n = static_cast<double>(expected);  // some 200
  CHECK(std::abs(sum / n) < 4 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 4 * std::sqrt(2 / n));
}

TEST_CASE("ct: every square kernel transposed, twice is nothing, all else untouched") {
  nn::Model model = nn::build<test::TinyResNet>(
      "tiny", {.height = 8, .width = 8, .channels = 3, .classes = kClasses});
  nn::initialise(model.params, nn::Init::pytorch, 3);
  const ParamStore before = model.params.clone();
  transpose_kernels(model);
  int kernels = 0;
  for (const Range& range : model.params.parameters()) {
    CAPTURE(range.name);
    const auto was = ParamStore::view(before.values(), range).span(),
               is = ParamStore::view(model.params.values(), range).span();
    if (range.shape.rank() != 4) {
      CHECK(std::ranges::equal(was, is));
      continue;
    }
    ++kernels;
    const int64_t K = range.shape[0], R = range.shape[1], C = range.shape[3];
    REQUIRE(range.shape[2] == R);
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < R; ++r)
        for (int64_t q = 0; q < R; ++q)
          for (int64_t c = 0; c < C; ++c)
            REQUIRE(is[static_cast<size_t>(((k * R + r) * R + q) * C + c)] ==
                    was[static_cast<size_t>(((k * R + q) * R + r) * C + c)]);
  }
  CHECK(kernels >= 3);
  CHECK_FALSE(same_bits(model.params.values(), before.values()));
  transpose_kernels(model);
  CHECK(same_bits(model.params.values(), before.values()));
}

}  // namespace expunge::unlearn
