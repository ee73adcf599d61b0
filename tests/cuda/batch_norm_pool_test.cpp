#include <optional>

#include "cuda/batch_norm_calls.h"
#include "kernels/pool2d.h"

// Batch norm with max-pooling behind it: what the operations give one after the other, bit for bit,
// on numbers whose sums are exact; and the device gives what the CPU does.
namespace expunge::kernels {
namespace {

constexpr Pool2dShape kImages[] = {{1, 2, 2, 1, 2, 2, 0},   {2, 4, 6, 3, 2, 2, 0},
                                   {3, 8, 8, 16, 2, 2, 0},  {2, 6, 4, 33, 2, 2, 0},
                                   {1, 2, 40, 72, 2, 2, 0}, {5, 32, 32, 8, 2, 2, 0}};

// On one machine, in T. Tied maxima come from eighths by themselves; a NaN is planted.
template <class T>
struct Pooled {
  Device machine;
  Pool2dShape s;
  BatchNormShape norm;
  Floats x, dy, mean, invstd, gamma, line;

  Pooled(Device device, const Pool2dShape& images, bool relu, bool nan = false)
      : machine(device),
        s(images),
        norm{s.N * s.H * s.W, s.C, relu},
        x(eighths(norm.pixels * s.C, 1)),
        dy(eighths(outputs(), 2)),
        mean(eighths(s.C, 3)),
        invstd(draw(s.C, 4)),
        gamma(draw(s.C, 5)),
        line(line_of(mean, invstd, gamma, eighths(s.C, 6))) {
    if (nan) x[x.size() / 3] = std::nanf("");
  }
  int64_t outputs() const { return s.N * s.P() * s.Q() * s.C; }

  // Memory of that machine.
  template <class U>
  class Array {
   public:
    Array(Device machine, const std::vector<U>& values) {
      machine == Device::cpu ? void(here_ = values) : void(there_.emplace(values));
    }
    U* data() { return there_ ? there_->data() : here_.data(); }
    std::vector<U> values() const { return there_ ? there_->values() : here_; }

   private:
    std::vector<U> here_;
    std::optional<DeviceArray<U>> there_;
  };
  Array<T> in_T(const Floats& values) const { return {machine, rounded<T>(values)}; }
  Array<float> in_f32(const Floats& values) const { return {machine, values}; }

  struct Forward {
    std::vector<T> y;
    std::vector<uint8_t> which;
    bool operator==(const Forward& b) const {
      return same_bits(y, b.y) && same_bits(which, b.which);
    }
  };
  void apply(const BatchNormApply& of) const {
    machine == Device::cpu ? batch_norm_apply({}, of) : cuda::batch_norm_apply(kStream, of);
  }
  Forward forward(bool keeps) const {
    auto dev_x = in_T(x);
    auto dev_line = in_f32(line);
    Array<T> y{machine, std::vector<T>(static_cast<size_t>(outputs()))};
    Array<uint8_t> which{machine, std::vector<uint8_t>(static_cast<size_t>(outputs()), 9)};
    apply({.shape = norm,
           .x = dev_x.data(),
           .line = dev_line.data(),
           .residual = {},
           .y = y.data(),
           .pool = {s.W, keeps ? which.data() : nullptr}});
    return {y.values(), which.values()};
  }
  Forward forward_apart() const {
    auto dev_x = in_T(x), between = in_T(x);
    auto dev_line = in_f32(line);
    apply({norm, dev_x.data(), dev_line.data(), {}, between.data()});
    Array<T> y{machine, std::vector<T>(static_cast<size_t>(outputs()))};
    Array<int32_t> position{machine, std::vector<int32_t>(static_cast<size_t>(outputs()))};
    machine == Device::cpu
        ? max_pool2d({}, s, between.data(), y.data(), position.data())
        : cuda::max_pool2d(kStream, s, between.data(), y.data(), position.data());
    return {y.values(), places(position.values())};
  }
  // In its window, from where in its image.
  std::vector<uint8_t> places(const std::vector<int32_t>& position) const {
    std::vector<uint8_t> which;
    for (const int32_t at : position)
      which.push_back(static_cast<uint8_t>(2 * (at / s.W % 2) + at % s.W % 2));
    return which;
  }
  std::vector<int32_t> positions(const std::vector<uint8_t>& which) const {
    std::vector<int32_t> position;
    for (int64_t i = 0; i < outputs(); ++i) {
      const int64_t q = i / s.C % s.Q(), p = i / s.C / s.Q() % s.P(),
                    k = which[static_cast<size_t>(i)];
      position.push_back(static_cast<int32_t>((2 * p + k / 2) * s.W + 2 * q + k % 2));
    }
    return position;
  }

  struct Gradients {
    std::vector<T> dx;
    Floats dgamma, dbeta;
    std::vector<double> sum_g, sum_gx;
    bool operator==(const Gradients& b) const {
      return same_bits(dx, b.dx) && same_bits(dgamma, b.dgamma) && same_bits(dbeta, b.dbeta) &&
             same_bits(sum_g, b.sum_g) && same_bits(sum_gx, b.sum_gx);
    }
  };
  Gradients gradients(bool together, bool batch, float keep) const {
    const std::vector<uint8_t> which = forward(true).which;
    auto dev_x = in_T(x), small = in_T(dy), whole = in_T(x);
    auto dev_mean = in_f32(mean), dev_invstd = in_f32(invstd), dev_gamma = in_f32(gamma),
         dev_line = in_f32(line);
    Array<uint8_t> dev_which{machine, which};
    Array<int32_t> position{machine, positions(which)};
    if (!together)
      machine == Device::cpu
          ? max_pool2d_backward({}, s, small.data(), position.data(), 0, whole.data())
          : cuda::max_pool2d_backward(kStream, s, small.data(), position.data(), 0, whole.data());
    Array<T> dx = in_T(before(keep, norm.pixels * s.C, 7));
    auto dgamma = in_f32(before(keep, s.C, 8)), dbeta = in_f32(before(keep, s.C, 9));
    const std::vector<double> zeros(static_cast<size_t>(s.C));
    Array<double> sum_g{machine, zeros}, sum_gx{machine, zeros};
    const BatchNormGradient in{.shape = norm,
                               .x = dev_x.data(),
                               .y = {},
                               .dy = together ? small.data() : whole.data(),
                               .mean = dev_mean.data(),
                               .invstd = dev_invstd.data(),
                               .line = dev_line.data(),
                               .pool = {together ? s.W : 0, dev_which.data()}};
    const BatchNormBackward t{.in = in,
                              .gamma = dev_gamma.data(),
                              .batch = batch,
                              .beta_dx = keep,
                              .dx = dx.data(),
                              .beta_gamma = keep,
                              .dgamma = dgamma.data(),
                              .beta_beta = keep,
                              .dbeta = dbeta.data()};
    BatchNormSums sums{in, sum_g.data(), sum_gx.data()};
    if (s.N > 1) {  // a slice: from the second image on
      const int64_t image = s.H * s.W * s.C, small_image = image / NormPool::kWindow;
      sums.in.shape.pixels -= s.H * s.W;
      sums.in.x = in.x.from(image);
      sums.in.dy = in.dy.from(together ? small_image : image);
      sums.in.pool.which += small_image;
    }
    machine == Device::cpu ? batch_norm_backward({}, t) : differentiate(t);
    machine == Device::cpu ? batch_norm_sums({}, sums) : find_sums(sums);
    return {dx.values(), dgamma.values(), dbeta.values(), sum_g.values(), sum_gx.values()};
  }
};

template <class Check>
void each_case(Check check) {
  for (const Pool2dShape& s : kImages)
    for (const bool relu : {true, false}) {
      CAPTURE(s.W);
      CAPTURE(s.C);
      CAPTURE(relu);
      check(s, relu);
    }
}

}  // namespace

TEST_CASE("cuda batch norm, pooled: outputs and places of the maxima, as of two operations") {
  each_case([](const Pool2dShape& s, bool relu) {
    for (const bool nan : {false, true}) {
      const Pooled<float> here(Device::cpu, s, relu, nan), there(Device::cuda, s, relu, nan);
      const auto apart = here.forward_apart();
      CHECK(here.forward(true) == apart);
      CHECK(there.forward(true) == apart);
      CHECK(same_bits(here.forward(false).y, apart.y));
      CHECK(same_bits(there.forward(false).y, apart.y));
    }
  });
}

TEST_CASE_TEMPLATE("cuda batch norm, pooled: in 16 bits maxima are of what is stored", T, bf16,
                   f16) {
  each_case([](const Pool2dShape& s, bool relu) {
    const Pooled<T> of(Device::cuda, s, relu), with_nan(Device::cuda, s, relu, true);
    CHECK(of.forward(true) == of.forward_apart());
    CHECK(with_nan.forward(true) == with_nan.forward_apart());
    CHECK(of.gradients(true, true, 0) == of.gradients(false, true, 0));
  });
}

TEST_CASE("cuda batch norm, pooled: gradients and sums, as of two operations") {
  each_case([](const Pool2dShape& s, bool relu) {
    const Pooled<float> here(Device::cpu, s, relu), there(Device::cuda, s, relu);
    for (const bool batch : {true, false})
      for (const float keep : {0.0f, 1.0f}) {
        const auto apart = here.gradients(false, batch, keep);
        CHECK(here.gradients(true, batch, keep) == apart);
        CHECK(there.gradients(true, batch, keep) == apart);
      }
  });
}

TEST_CASE("batch norm, pooled: what it has none of is refused, and rows that are no pairs") {
  const Floats x(36), line(2);
  Floats y(9), sums(2);
  std::vector<uint8_t> which(9);
  BatchNormApply apply{{36, 1, true}, x.data(), line.data(), {}, y.data(), {6, nullptr}};
  CHECK_NOTHROW(batch_norm_apply({}, apply));
  apply.residual = x.data();
  CHECK_THROWS(batch_norm_apply({}, apply));
  apply.residual = {};
  apply.residual_line = line.data();  // of none
  CHECK_THROWS(batch_norm_apply({}, apply));
  apply.residual_line = nullptr;
  for (const auto& [pixels, width] : {std::pair<int64_t, int64_t>{30, 5}, {18, 6}, {36, -6}}) {
    apply.shape.pixels = pixels, apply.pool.width = width;
    CHECK_THROWS(batch_norm_apply({}, apply));
  }
  const BatchNormGradient in{{36, 1, true}, x.data(),    {},          y.data(),
                             line.data(),   line.data(), line.data(), {6, which.data()}};
  BatchNormBackward t{.in = in, .gamma = line.data(), .batch = true};
  CHECK_NOTHROW(batch_norm_backward({}, t));
  t.dresidual = y.data();
  CHECK_THROWS(batch_norm_backward({}, t));
  t.dresidual = {}, t.in.y = x.data();
  CHECK_THROWS(batch_norm_backward({}, t));
  t.in = in, t.in.pool.which = nullptr;
  CHECK_THROWS(batch_norm_backward({}, t));
}

}  // namespace expunge::kernels
