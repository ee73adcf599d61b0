#include <cmath>
#include <map>
#include <sstream>
#include <string>

#include "core/file.h"
#include "core/work_graph.h"
#include "device/twins.h"
#include "kernels/cast.h"
#include "kernels/conv_algo.h"
#include "kernels/conv_plan_book_cudnn.h"
#include "support/error.h"
#include "support/normal_values.h"

#if defined(EXPUNGE_CUDA_EMULATED)
#include "device/with_memory.h"
#endif

// Convolutions by whichever plan is found for them: cuDNN's, timed where they run, and our own
// beside them (kernels/vendor_cudnn.h).
namespace expunge {
namespace {

using namespace test;
using kernels::Conv2dShape;
using kernels::ConvAlgo;
using kernels::Precision;

class WithAlgo {
 public:
  explicit WithAlgo(ConvAlgo algo) : before_(kernels::conv_algo()) { kernels::set_conv_algo(algo); }
  ~WithAlgo() { kernels::set_conv_algo(before_); }
  WithAlgo(const WithAlgo&) = delete;

 private:
  ConvAlgo before_;
};

// Normal numbers of the precision's type on the device between two guards, `offset` elements behind
// what all engines take; and what they are, as floats.
class Numbers {
 public:
  Numbers(int64_t size, uint64_t key, int64_t offset)
      : size_(size),
        begin_(kBefore + offset),
        whole_({begin_ + size + 1}, kernels::activation_type(), device()) {
    const Tensor floats(whole_.shape());
    std::ranges::fill(floats.span(), kGuard);
    std::ranges::copy(normal_values(size, key), floats.data() + begin_);
    kernels::cast(device(), {1, whole_.size(), whole_.size()}, floats.to(device()).values(), 0,
                  whole_.values());
  }
  expunge::Values there() const { return whole_.values().from(begin_); }
  Tensor here() const {
    const Tensor all = nn::as_f32(whole_).to({}), found({size_});
    for (int64_t i = 0; i < all.size(); ++i) {
      const bool ours = i >= begin_ && i < begin_ + size_;
      if (ours) found.data()[i - begin_] = all.data()[i];
      if (!ours) CHECK(all.data()[i] == kGuard);
    }
    return found;
  }

 private:
  static constexpr float kGuard = 256;
  static constexpr int64_t kBefore = 64;
  int64_t size_, begin_;
  Tensor whole_;
};

struct Operands {
  Numbers x, w, y;
  Operands(const Conv2dShape& s, int64_t offset)
      : x(s.N * s.H * s.W * s.C, 1, offset),
        w(s.K * s.R * s.S * s.C, 2, offset),
        y(s.N * s.P() * s.Q() * s.K, 3, offset) {}
};

// The result of a pass, here, and what the CPU gives of the same numbers.
struct Both {
  Tensor found, expected;
  double apart() const {  // in units of the largest; of a NaN infinity
    double most = 0, size = 0;
    for (int64_t i = 0; i < found.size(); ++i) {
      const double d = std::abs(double{found.data()[i]} - double{expected.data()[i]});
      most = std::max(most, std::isfinite(d) ? d : HUGE_VAL);
      size = std::max(size, std::abs(double{expected.data()[i]}));
    }
    return most / size;
  }
};
Both forward(const Conv2dShape& s, int64_t offset) {
  const Operands of(s, offset);
  const Tensor y = of.y.here();
  kernels::conv2d({}, s, of.x.here().data(), of.w.here().data(), nullptr, y.data());
  kernels::conv2d(device(), s, of.x.there(), of.w.there(), nullptr, of.y.there());
  return {of.y.here(), y};
}
Both by_data(const Conv2dShape& s, int64_t offset, float beta) {
  const Operands of(s, offset);
  const Tensor dx = of.x.here();
  kernels::conv2d_backward_data({}, s, of.y.here().data(), of.w.here().data(), beta, dx.data());
  kernels::conv2d_backward_data(device(), s, of.y.there(), of.w.there(), beta, of.x.there());
  return {of.x.here(), dx};
}
// Of all images but the first.
Both by_weights(const Conv2dShape& s, int64_t offset, float beta) {
  const Operands of(s, offset);
  const Tensor dw = of.w.here();
  kernels::conv2d_backward_weights({}, s, 1, s.N, of.x.here().data(), of.y.here().data(), beta,
                                   dw.data());
  kernels::conv2d_backward_weights(device(), s, 1, s.N, of.x.there(), of.y.there(), beta,
                                   of.w.there());
  return {of.w.here(), dw};
}

// 3x3 in whole tiles of channels; few channels, and pixels left over; 1x1.
constexpr Conv2dShape kShapes[] = {
    {.N = 3, .H = 8, .W = 8, .C = 64, .K = 64, .R = 3, .S = 3, .pad = 1},
    {.N = 4, .H = 7, .W = 6, .C = 5, .K = 7, .R = 3, .S = 3, .stride = 2, .pad = 1},
    {.N = 2, .H = 6, .W = 6, .C = 16, .K = 24, .R = 1, .S = 1, .stride = 2}};

}  // namespace

TEST_CASE("device: each pass of a convolution is the CPU's, wherever its tensors begin") {
  using enum Precision;
  // of a result rounded to 8 and 11 bits, of factors rounded to 11
  const auto allowed = [](Precision p) { return p == fp32 ? 3e-5 : p == fp16 ? 2e-3 : 8e-3; };
  for (const Precision precision : {fp32, tf32, bf16, fp16}) {
    const WithPrecision with(precision);
    for (const Conv2dShape& s : kShapes)
      for (const int64_t offset : {0, 1}) {
        CAPTURE(static_cast<int>(precision));
        CAPTURE(s.C);
        CAPTURE(offset);
        CHECK(forward(s, offset).apart() <= allowed(precision));
        for (const float beta : {0.0f, 1.0f}) {
          CHECK(by_data(s, offset, beta).apart() <= allowed(precision));
          CHECK(by_weights(s, offset, beta).apart() <= allowed(precision));
        }
      }
  }
}

TEST_CASE("device: Winograd where it is asked for is not the direct sum, and as exact") {
  const Conv2dShape& s = kShapes[0];
  const auto passes = [&] {
    return std::vector{forward(s, 0), by_data(s, 0, 1), by_weights(s, 0, 1)};
  };
  std::vector<Both> direct, winograd;
  {
    const WithAlgo with(ConvAlgo::direct);
    direct = passes();
  }
  {
    const WithAlgo with(ConvAlgo::winograd);
    winograd = passes();
  }
  for (size_t i = 0; i < direct.size(); ++i) {
    CHECK(direct[i].apart() <= 3e-5);
    CHECK(winograd[i].apart() <= 3e-5);
    CHECK(Both{winograd[i].found, direct[i].found}.apart() > 0);
  }
}

TEST_CASE("device: a recorded step takes plans that were found before, and finds none") {
  const WithPrecision with(Precision::bf16);
  Conv2dShape s = kShapes[0];
  const Operands of(s, 0);
  const auto convolve = [&] {
    kernels::conv2d(device(), s, of.x.there(), of.w.there(), nullptr, of.y.there());
  };
  convolve();
  const Tensor eager = of.y.here();
  const WorkGraph recorded(device(), convolve);
  const Tensor zeros = Tensor::zeros({eager.size()}, DType::f32, device());
  kernels::cast(device(), {1, eager.size(), eager.size()}, zeros.values(), 0, of.y.there());
  recorded.launch();
  CHECK(Both{of.y.here(), eager}.apart() == 0);
  s.N = 2;  // no test may ask for this one: what is found is kept in a file
  CHECK_THROWS_WITH_AS(WorkGraph(device(), convolve), doctest::Contains("in a recorded step"),
                       Error);
  s.N = 3;
  convolve();
  CHECK(Both{of.y.here(), eager}.apart() == 0);
}

// Everything below is about the stand-in for cuDNN. It proposes engines that are fast and no good:
// one gives other bits each time, one refuses to run, one to be recorded. Of those that are left
// `direct` (0) takes longer than `tiled` (1), which wants aligned tensors and memory to work in
// (tests/cuda_on_cpu/vendor/engines.cpp).
#if defined(EXPUNGE_CUDA_EMULATED)

namespace {

std::map<std::string, std::string> written_plans() {  // engines by problem
  const std::filesystem::path file = kernels::cudnn::conv_plan_file();
  REQUIRE(!file.empty());  // XDG_CACHE_HOME, or HOME
  std::istringstream lines(read_file(file, 1 << 20));
  std::map<std::string, std::string> plans;
  std::string line;
  for (std::getline(lines, line); std::getline(lines, line);)
    plans[line.substr(0, line.find('\t'))] = line.substr(line.find('\t') + 1);
  return plans;
}

}  // namespace

TEST_CASE("device: the fastest plan that can be recorded is written down") {
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16})
    for (const int64_t offset : {0, 1}) {
      const WithPrecision with(precision);
      forward(kShapes[0], offset), by_weights(kShapes[0], offset, 0);
    }
  std::map<std::string, int> taken;
  for (const auto& [problem, engine] : written_plans()) {
    const auto has = [&](const char* word) { return problem.find(word) != std::string::npos; };
    CAPTURE(problem);
    CAPTURE(engine);
    const bool may_be_taps = has("weights ") && (has(" tf32") || has(" wide"));
    const char* expected = has(" winograd")                           ? "-1 "
                           : has(" fp32") || has(" align")            ? "0 "
                           : may_be_taps && engine.starts_with("-2 ") ? "-2 "
                                                                      : "1 3=3";
    CHECK(engine.starts_with(expected));
    ++taken[expected];
  }
  for (const char* kind : {"0 ", "1 3=3", "-2 "}) CHECK(taken[kind] > 0);
}

TEST_CASE("device: a plan without the memory that it wants is left out, for now") {
  const WithPrecision with(Precision::bf16);
  // x and y have 2^21 numbers each, so `tiled` works in 4, 8, 12 or 16 MB and a byte
  const Conv2dShape s{.N = 1, .H = 512, .W = 512, .C = 8, .K = 8, .R = 1, .S = 1};
  const Operands of(s, 0);
  const auto convolve = [&] {
    kernels::conv2d(device(), s, of.x.there(), of.w.there(), nullptr, of.y.there());
  };
  forward(kShapes[0], 0);  // what a first convolution takes for good is taken
  {
    const WithMemory some(8 + 6);  // room for another x and y
    convolve();
  }
  CHECK(written_plans().count("forward n1 h512 w512 c8 k8 r1 s1 stride1 pad0 bf16") == 0);
  const WithMemory none(2);
  convolve();  // by a plan that was taken there and goes without much
}

#endif

}  // namespace expunge
