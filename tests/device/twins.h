#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/memory_cuda.h"
#include "data/dataset.h"
#include "kernels/precision.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "support/image_batches.h"
#include "support/tiny_models.h"

// The same model on the CPU and on the device, and batches for both.
namespace expunge::test {

inline Stream device() {
  static const Stream stream = cuda_open(0);
  return stream;
}

class WithPrecision {
 public:
  explicit WithPrecision(kernels::Precision precision) : before_(kernels::precision()) {
    kernels::set_precision(precision);
  }
  ~WithPrecision() { kernels::set_precision(before_); }
  WithPrecision(const WithPrecision&) = delete;

 private:
  kernels::Precision before_;
};

template <class Network>
nn::Model tiny_model() {
  nn::Model model =
      nn::build<Network>("tiny", {.height = 8, .width = 8, .channels = 3, .classes = kClasses});
  nn::initialise(model.params, nn::Init::pytorch, 3);
  return model;
}

// Its first layer is wide enough for kernels/conv2d_image.h, which takes it in 16 bits.
class WideVgg final : public nn::Network {
 public:
  WideVgg(ParamStore& params, const nn::InputSpec& spec)
      : conv_{{params, "conv", 3, 32, {.bias = true}}, {params, "bn", 32}},
        fc_(params, "fc", 4 * 4 * 32, spec.classes, {4, 4, 32}) {}
  Var forward(const Ctx& ctx, const Var& x) const override {
    return fc_(ctx, nn::flatten(ctx, conv_.relu_pool(ctx, x)));
  }

 private:
  nn::ConvBatchNorm conv_;
  nn::LinearLayer fc_;
};

// smallcnn for the images of a data set, on the device.
inline nn::Model small_model_there(const data::Dataset& set) {
  nn::Model model = nn::make_model("smallcnn", {.height = set.height,
                                                .width = set.width,
                                                .channels = set.channels,
                                                .classes = std::ssize(set.classes)});
  nn::initialise(model.params, nn::Init::pytorch, 1);
  model.params.move_to(device());
  return model;
}

// Images that lie where the stream works; labels and positions on the CPU, as data::Loader has it.
class ImagesAt final : public BatchSource {
 public:
  ImagesAt(Stream stream, int first, int64_t batches) : images_(first, batches), stream_(stream) {}
  int64_t samples() const override { return images_.samples(); }
  int64_t batches() const override { return images_.batches(); }
  void start(int epoch, int64_t batch) override { images_.start(epoch, batch); }
  bool next(Batch& batch) override {
    if (!images_.next(batch)) return false;
    batch.x = batch.x.to(stream_);
    return true;
  }
  Batch at(int epoch, int64_t place) const {
    Batch batch = images_.at(epoch, place);
    batch.x = batch.x.to(stream_);
    return batch;
  }

 private:
  Images images_;
  Stream stream_;
};

// Batches that all come to one place, as a device's loader has them; the last of an epoch of
// `batches` may be an image short.
class OnePlace final : public BatchSource {
 public:
  OnePlace(int first, int64_t batches, bool short_last)
      : images_(device(), first, batches), short_last_(short_last) {}
  int64_t samples() const override { return images_.samples(); }
  int64_t batches() const override { return images_.batches(); }
  void start(int epoch, int64_t batch) override { epoch_ = epoch, next_ = batch; }
  bool next(Batch& batch) override {
    if (next_ == batches()) return false;
    batch = images_.at(epoch_, next_++);
    if (!x_) x_ = batch.x.clone();
    x_.copy_from(batch.x);
    batch.x = x_;
    if (!short_last_ || next_ < batches()) return true;
    const int64_t n = batch.size() - 1;
    batch.x = x_.slice(0, {n, x_.dim(1), x_.dim(2), x_.dim(3)});
    batch.labels = batch.labels.slice(0, {n});
    return true;
  }

 private:
  ImagesAt images_;
  bool short_last_;
  Tensor x_;
  int epoch_ = 0;
  int64_t next_ = 0;
};

struct Apart {
  double worst = 0;  // largest difference, relative to the largest value of its tensor
  double share = 0;  // elements further apart than kFar of that
};
inline constexpr double kFar = 1e-3;

inline Apart apart(const ParamStore& a, const ParamStore& b) {
  Apart found;
  int64_t far = 0;
  const Tensor x = a.values().to({}), y = b.values().to({});
  for (const Range& range : a.parameters()) {
    double most = 1e-6;
    for (int64_t i = range.offset; i < range.offset + range.size; ++i)
      most = std::max(most, std::abs(double{x.data()[i]}));
    for (int64_t i = range.offset; i < range.offset + range.size; ++i) {
      const double difference = std::abs(double{x.data()[i]} - double{y.data()[i]}) / most;
      found.worst = difference <= found.worst ? found.worst : difference;  // a NaN is taken
      far += !(difference <= kFar);
    }
  }
  found.share = static_cast<double>(far) / static_cast<double>(a.parameters().size());
  return found;
}

// Rounding differs in sums and library functions; nothing else may.
inline void check_same(const ParamStore& a, const ParamStore& b, double tolerance) {
  const double worst = apart(a, b).worst;
  CHECK_MESSAGE(worst <= tolerance, "apart: ", worst);
}

}  // namespace expunge::test
