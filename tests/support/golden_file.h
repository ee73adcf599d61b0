#pragma once

#include <doctest/doctest.h>

#include <cmath>

#include "core/batch_source.h"
#include "nn/layers.h"
#include "nn/model_file.h"
#include "support/parity.h"
#include "support/tiny_models.h"

// A stored independent computation of unlearning steps: a small network's weights ("w/..."),
// batches of sides ("forget/x", ...), and what came of them. NaN in it: rounding decides there.
namespace expunge::test {

inline constexpr int64_t kGoldenClasses = 5;
inline constexpr uint64_t kGoldenSeed = 9;  // SEED of tools/golden_unlearn.py

class GoldenFile {
 public:
  explicit GoldenFile(const char* name)
      : file_(read_safetensors(std::filesystem::path(EXPUNGE_GOLDEN) / name)) {}

  const NamedTensor& at(const std::string& name) const {
    const NamedTensor* t = file_.find(name);
    REQUIRE_MESSAGE(t != nullptr, name);
    return *t;
  }

  // Row `step` of a (steps, N) tensor of whole numbers.
  Tensor integers(const std::string& name, int64_t step) const {
    const NamedTensor& t = at(name);
    const int64_t N = t.shape[1];
    Tensor out({N}, DType::i32);
    for (int64_t i = 0; i < N; ++i)
      out.as<int32_t>()[i] = static_cast<int32_t>(t.values.data()[step * N + i]);
    return out;
  }

  Batch batch(const std::string& side, int64_t step) const {
    const NamedTensor& x = at(side + "/x");
    const std::vector<int64_t> shape(x.shape.begin() + 1, x.shape.end());
    return {.x = nhwc(x.values.data() + step * x.values.size() / x.shape[0], shape),
            .labels = integers(side + "/labels", step),
            .index = integers(side + "/index", step)};
  }
  int64_t batches(const std::string& side) const { return at(side + "/x").shape[0]; }
  int64_t samples(const std::string& side) const {
    return batches(side) * at(side + "/x").shape[1];
  }

  nn::Model model() const {
    nn::Model model = nn::build<TinyCnn>(
        "tiny", {.height = 8, .width = 8, .channels = 3, .classes = kGoldenClasses});
    SafeTensors weights;
    for (const NamedTensor& t : file_.tensors)
      if (t.name.starts_with("w/"))
        weights.tensors.push_back({t.name.substr(2), t.shape, t.values});
    nn::fill_model(weights, "golden", model);
    return model;
  }

 private:
  SafeTensors file_;
};

// A side's batches in the order of the file, the same in every epoch.
class GoldenSide final : public BatchSource {
 public:
  GoldenSide(const GoldenFile& file, std::string name) : file_(file), name_(std::move(name)) {}
  int64_t samples() const override { return file_.samples(name_); }
  int64_t batches() const override { return file_.batches(name_); }
  void start(int, int64_t first) override { next_ = first; }
  bool next(Batch& batch) override {
    if (next_ == batches()) return false;
    batch = file_.batch(name_, next_++);
    return true;
  }

 private:
  const GoldenFile& file_;
  std::string name_;
  int64_t next_ = 0;
};

// All tensors in PyTorch's order, one after the other.
inline std::vector<double> in_pytorch_order(const RangeTable& table, const Tensor& values) {
  std::vector<double> out;
  for (const NamedTensor& t : nn::to_pytorch(table, values))
    out.insert(out.end(), t.values.span().begin(), t.values.span().end());
  return out;
}

// The largest difference, and how many values could be compared.
struct Compared {
  double worst = 0;
  int64_t count = 0;
};
inline Compared compare(std::span<const double> ours, const NamedTensor& theirs) {
  Compared result;
  REQUIRE(std::ssize(ours) == theirs.values.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    const double expected = double{theirs.values.data()[i]};
    if (std::isnan(expected)) continue;
    result.worst = std::max(result.worst, std::abs(ours[i] - expected));
    ++result.count;
  }
  return result;
}

}  // namespace expunge::test
