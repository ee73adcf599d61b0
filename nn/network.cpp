#include "nn/network.h"

#include <algorithm>

#include "core/nearest.h"
#include "nn/resnet.h"
#include "nn/small_models.h"
#include "nn/vgg.h"

namespace expunge::nn {
namespace {

std::vector<ModelEntry>& table() {
  static std::vector<ModelEntry> rows = {
      {"linear",
       "linear regression on flattened inputs",
       {},
       [](const InputSpec& s) { return build<LinearModel>("linear", s); }},
      {"mlp",
       "linear 256, 128, classes with ReLU",
       {},
       [](const InputSpec& s) { return build<Mlp>("mlp", s); }},
      {"smallcnn",
       "3x3 conv+BN+ReLU 32-32-pool-64-64-pool-128, global average, linear",
       {},
       [](const InputSpec& s) { return build<SmallCnn>("smallcnn", s); }},
      {"resnet18",
       "ResNet18 with the 3x3 stem for small images",
       {},
       [](const InputSpec& s) { return build<ResNet18>("resnet18", s); }},
      {"vgg16_bn",
       "VGG16 with batch norm, adaptive pool 2x2, head 2048-256-256",
       {},
       [](const InputSpec& s) { return build<Vgg16Bn>("vgg16_bn", s); }},
      {"vgg16_bn_lth",
       "VGG16 with batch norm, conv bias, five pools, one linear layer",
       {},
       [](const InputSpec& s) { return build<Vgg16BnLth>("vgg16_bn_lth", s); }},
  };
  return rows;
}

}  // namespace

const std::vector<ModelEntry>& models() {
  return table();
}

void register_model(ModelEntry entry) {
  EXPUNGE_CHECK(std::ranges::find(table(), entry.name, &ModelEntry::name) == table().end(),
                "register_model: the name {} is taken", entry.name);
  table().push_back(std::move(entry));
}

Model make_model(const std::string& name, const InputSpec& spec) {
  std::vector<std::string> names;
  for (const ModelEntry& entry : table()) {
    if (entry.name == name) {
      Model model = entry.make(spec);
      model.params.move_to(compute_stream());
      return model;
    }
    names.push_back(entry.name);
  }
  fail(ExitCode::usage, "model '{}' is not known{}", name, nearest_hint(name, names));
}

// One sample runs; the others would have the same shapes.
Trace Model::trace(int64_t samples) const {
  Trace trace;
  const Stream stream = params.values().stream();
  const Ctx ctx{.stream = stream, .params = &params, .trace = &trace};
  network->forward(
      ctx,
      {Tensor::zeros({1, spec.height, spec.width, spec.channels}, DType::f32, stream), Var::kNone});
  for (auto& shape : trace.conv2d) shape.N = samples;
  for (auto& row : trace.batch_norm) row.shape.pixels *= samples;
  for (auto& shape : trace.max_pool2d) shape.N = samples;
  for (auto& shape : trace.average_pool2d) shape.N = samples;
  return trace;
}

int64_t Model::macs() const {
  int64_t count = 0;
  for (const kernels::Conv2dShape& shape : trace().conv2d) count += shape.macs();
  return count;
}

}  // namespace expunge::nn
