#include "kernels/loss_scale.h"

#include <algorithm>

#include "cuda/both.h"

namespace expunge::kernels {
namespace {

using namespace test;

// After a step with this loss, on both sides the same.
LossScaleState after(const LossScaleState& before, float loss, float overflow) {
  LossScaleState here = before;
  const DeviceArray<LossScaleState> there(std::vector<LossScaleState>{before});
  const DeviceArray<float> dev_loss(Floats{0, loss}), dev_overflow(Floats{overflow});
  const float losses[] = {0, loss};
  adapt_loss_scale({}, losses, 2, &overflow, &here);
  cuda::adapt_loss_scale(kStream, dev_loss.data(), 2, dev_overflow.data(), there.data());
  const LossScaleState found = there.values()[0];
  CHECK(found.scale == here.scale);
  CHECK(found.steady == here.steady);
  CHECK(found.skipped == here.skipped);
  const float noted = dev_overflow.values()[0];
  CHECK(std::isnan(noted) == std::isnan(overflow));
  CHECK(std::isnan(noted) ==
        (here.skipped > before.skipped && here.scale < kLeastLossScale));  // there is nothing left
  return here;
}

}  // namespace

TEST_CASE("cuda loss scale: gradients are divided by it, and one that is not finite is noticed") {
  constexpr float kScale = 65536;
  const DeviceArray<LossScaleState> state(std::vector<LossScaleState>{{.scale = kScale}});
  for (const size_t n : {size_t{0}, size_t{1}, size_t{33}, size_t{256}, size_t{1028}, size_t{1029}})
    for (const float bad : {1.0f, std::nanf(""), HUGE_VALF, -HUGE_VALF})
      for (const size_t at : {size_t{0}, n / 2, n - 1}) {
        if (n == 0) continue;
        CAPTURE(n);
        CAPTURE(at);
        Floats g = draw(n, 1);
        g[at] = bad;
        const DeviceArray<float> dev_g(g), overflow(Floats{0});
        cuda::unscale(kStream, static_cast<int64_t>(n), state.data(), dev_g.data(),
                      overflow.data());
        for (float& v : g) v /= kScale;
        Floats found = dev_g.values();
        if (std::isnan(bad)) found[at] = g[at];  // whatever its bits are
        CHECK(same_bits(found, g));
        CHECK(overflow.values()[0] == (bad == 1.0f ? 0 : HUGE_VALF));
      }
}

TEST_CASE("cuda loss scale: an overflow of an earlier buffer stays noted") {
  const DeviceArray<LossScaleState> state(std::vector<LossScaleState>{{}});
  const DeviceArray<float> bad(Floats{1, HUGE_VALF, 1, 1}), good(Floats{1, 2, 3, 4}),
      overflow(Floats{0});
  cuda::unscale(kStream, 4, state.data(), bad.data(), overflow.data());
  cuda::unscale(kStream, 4, state.data(), good.data(), overflow.data());
  CHECK(overflow.values()[0] == HUGE_VALF);
}

TEST_CASE("cuda loss scale: squares are divided by its square, and may be infinite") {
  const LossScaleState largest{.scale = kMostLossScale};
  const DeviceArray<LossScaleState> state(std::vector<LossScaleState>{largest});
  for (const size_t n : {size_t{1}, size_t{33}, size_t{256}, size_t{1029}}) {
    Floats x = draw(n, 1);
    x[n / 2] = HUGE_VALF;
    const DeviceArray<float> dev_x(x);
    cuda::unscale_squares(kStream, static_cast<int64_t>(n), state.data(), dev_x.data());
    unscale_squares({}, static_cast<int64_t>(n), &largest, x.data());
    CHECK(same_bits(dev_x.values(), x));
    CHECK(x[n / 2] == HUGE_VALF);
    if (n > 1) CHECK(x[0] == draw(n, 1)[0] * 0x1p-48f);
  }
}

TEST_CASE("cuda loss scale: of several versions that for the number of skipped steps") {
  for (const int64_t words : {1, 14, 300}) {
    Floats versions = draw(kVersionsHead + kVersions * words, 3);
    versions[0] = 7;
    versions[static_cast<size_t>(kVersionsHead)] = std::nanf("5");  // words, not numbers
    const DeviceArray<float> dev_versions(versions);
    for (const float skipped : {7.0f, 8.0f, 10.0f, 11.0f, 90.0f}) {
      CAPTURE(skipped);
      const LossScaleState state{.skipped = skipped};
      const DeviceArray<LossScaleState> dev_state(std::vector<LossScaleState>{state});
      const auto version = std::min(static_cast<int64_t>(skipped) - 7, kVersions - 1);
      const auto begin = versions.begin() + kVersionsHead + version * words;
      const Floats expected(begin, begin + words);
      const DeviceArray<float> chosen(static_cast<size_t>(words));
      cuda::choose_version(kStream, dev_state.data(), dev_versions.data(), words, chosen.data());
      CHECK(same_bits(chosen.values(), expected));
      Floats here(static_cast<size_t>(words));
      choose_version({}, &state, versions.data(), words, here.data());
      CHECK(same_bits(here, expected));
    }
  }
}

TEST_CASE("cuda loss scale: halved after an overflow, doubled after 2000 steps without") {
  const float inf = HUGE_VALF, nan = std::nanf("");
  const auto is = [](const LossScaleState& s, float scale, float steady, float skipped) {
    return s.scale == scale && s.steady == steady && s.skipped == skipped;
  };
  CHECK(is({}, 65536, 0, 0));
  CHECK(is(after({}, 1, 0), 65536, 1, 0));
  CHECK(is(after({65536, 1998, 3}, 1, 0), 65536, 1999, 3));
  CHECK(is(after({65536, 1999, 3}, 1, 0), 131072, 0, 3));
  CHECK(is(after({16777216, 1999, 3}, 1, 0), 16777216, 0, 3));
  CHECK(is(after({65536, 1999, 3}, 1, inf), 32768, 0, 4));
  CHECK(is(after({2, 7, 3}, 1, -inf), 1, 0, 4));
  CHECK(after({1, 0, 3}, 1, inf).scale < kLeastLossScale);
  for (const float loss : {nan, inf}) CHECK(is(after({64, 9, 3}, loss, inf), 64, 9, 3));
}

}  // namespace expunge::kernels
