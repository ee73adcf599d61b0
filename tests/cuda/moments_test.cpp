#include "kernels/moments.h"

#include "cuda/both.h"
#include "kernels/augment.h"
#include "kernels/slice_moments.h"

namespace expunge::kernels {
namespace {

using namespace test;

Floats sizes_of(Floats x) {
  for (float& v : x) v = std::abs(v);
  return x;
}

}  // namespace

TEST_CASE("cuda moments: a step of welford and ema has the bits of the CPU") {
  for (const size_t n : kSizes)
    for (const bool ema : {false, true})
      for (const float scale : {0.0f, 0.125f}) {
        CAPTURE(n);
        CAPTURE(ema);
        StatisticsRule rule{.estimator = ema ? Estimator::ema : Estimator::welford};
        rule.welford.scale = scale;
        rule.ema = math::EmaRule{};
        const auto count = static_cast<int64_t>(n);
        const Floats g = draw(n, 1);
        Floats s0 = draw(n, 2), s1 = sizes_of(draw(n, 3)), mean = draw(n, 4), error = draw(n, 5);
        const DeviceArray<float> dev_g(g), dev_s0(s0), dev_s1(s1), dev_mean(mean), dev_error(error);
        for (const Floats& losses : {Floats{1, 0, 2, 0}, {1, std::nanf(""), 2, 0}}) {
          const DeviceArray<float> dev_losses(losses);
          const Floats before[] = {s0, s1, mean, error};
          take_in({}, count, rule, g.data(), {s0.data(), s1.data(), nullptr},
                  {mean.data(), error.data()}, losses.data());
          cuda::take_in(kStream, count, rule, dev_g.data(), {dev_s0.data(), dev_s1.data(), nullptr},
                        {dev_mean.data(), dev_error.data()}, dev_losses.data());
          const bool same = same_bits(before[0], s0) && same_bits(before[1], s1) &&
                            same_bits(before[2], mean) && same_bits(before[3], error);
          CHECK(same == (std::isnan(losses[1]) || n == 0));
        }
        CHECK(same_bits(dev_s0.values(), s0));
        CHECK(same_bits(dev_s1.values(), s1));
        CHECK(same_bits(dev_mean.values(), mean));
        CHECK(same_bits(dev_error.values(), error));
      }
}

TEST_CASE("cuda moments: the prior's variance, and none below zero") {
  for (const int64_t n : {1, 33, 9000})
    for (const float size : {0.1f, 5.0f}) {
      const Floats mean = draw(n, 1);
      Floats error = sizes_of(draw(n, 2));
      for (float& v : error) v *= size;
      const DeviceArray<float> dev_mean(mean), dev_error(error), out(1);
      const DeviceArray<char> workspace(cuda::prior_workspace(n));
      cuda::prior_variance(kStream, n, dev_mean.data(), dev_error.data(), out.data(),
                           workspace.data());
      float prior = -1;
      prior_variance({}, n, mean.data(), error.data(), &prior);
      check_near(out.values(), {prior}, 1e-6);
    }
}

TEST_CASE("cuda slices: moments have the bits of the CPU, in whatever runs they come") {
  constexpr int64_t kBatch = 40, k = 19;
  for (const int64_t n : {1, 5, 64, 1029, 3 * 1024 + 7})
    for (const int64_t padding : {int64_t{0}, int64_t{1}, 8 - n % 4}) {
      CAPTURE(n);
      CAPTURE(padding);
      const int64_t stride = n + padding;
      const Floats c = draw(k * stride, 7);
      const DeviceArray<float> dev_c(c);
      Floats one_by_one(n, std::nanf("")), its_error = one_by_one;
      for (int64_t j = 0; j < k; ++j)
        slice_moments({}, n, slice_rules({kBatch, k, j, 1}), c.data() + j * stride, stride,
                      one_by_one.data(), its_error.data());
      for (const int64_t together : {1, 3, 8}) {
        CAPTURE(together);
        Floats sum(n, std::nanf("")), error = sum;
        const DeviceArray<float> dev_sum(sum), dev_error(error);
        for (int64_t j = 0; j < k; j += together) {
          const math::SliceRules rules = slice_rules({kBatch, k, j, std::min(together, k - j)});
          slice_moments({}, n, rules, c.data() + j * stride, stride, sum.data(), error.data());
          cuda::slice_moments(kStream, n, rules, dev_c.data() + j * stride, stride, dev_sum.data(),
                              dev_error.data());
        }
        CHECK(same_bits(sum, one_by_one));
        CHECK(same_bits(error, its_error));
        CHECK(same_bits(dev_sum.values(), sum));
        CHECK(same_bits(dev_error.values(), error));
      }
    }
}

TEST_CASE("cuda slices: errors of products have the bits of the CPU") {
  for (const int64_t rows : {1, 5, 40})
    for (const bool bias : {false, true}) {
      const int64_t in = bias ? 1 : 33, out = 10;
      const Floats x = draw(rows * in, 1), dy = draw(rows * out, 2), mean = draw(in * out, 3);
      const DeviceArray<float> dev_x(x), dev_dy(dy), dev_mean(mean), dev_error(mean.size());
      Floats error(mean.size());
      product_error({}, {rows, in, out, bias ? nullptr : x.data(), dy.data()}, mean.data(),
                    error.data());
      cuda::product_error(kStream, {rows, in, out, bias ? nullptr : dev_x.data(), dev_dy.data()},
                          dev_mean.data(), dev_error.data());
      CHECK(same_bits(dev_error.values(), error));
    }
}

TEST_CASE("cuda augmentation: every pixel has the bits of the CPU") {
  const float mean[] = {0.4f, 0.5f, 0.6f, 0.1f}, std[] = {0.2f, 0.25f, 0.3f, 1};
  for (const int64_t channels : {1, 3, 4}) {
    const ImageFormat format{5, 7, channels, mean, std};
    std::vector<uint8_t> images(static_cast<size_t>(3 * 5 * 7 * channels));
    for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(37 * i);
    const std::vector<int32_t> index = {2, 0, 2, 1};
    const std::vector<Jitter> jitter = {
        {-2, 3, false}, {1, -1, true}, {0, 0, true}, {-5, 0, false}};
    const DeviceArray<uint8_t> dev_images(images);
    const DeviceArray<int32_t> dev_index(index);
    const DeviceArray<Jitter> dev_jitter(jitter);
    for (const bool moved : {false, true}) {
      Floats y(static_cast<size_t>(4 * 5 * 7 * channels));
      const DeviceArray<float> dev_y(y.size());
      augment({}, format, 4, images.data(), index.data(), moved ? jitter.data() : nullptr,
              y.data());
      cuda::augment(kStream, format, 4, dev_images.data(), dev_index.data(),
                    moved ? dev_jitter.data() : nullptr, dev_y.data());
      CHECK(same_bits(dev_y.values(), y));
    }
  }
}

}  // namespace expunge::kernels
