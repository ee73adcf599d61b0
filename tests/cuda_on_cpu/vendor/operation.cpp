#include "cuda_on_cpu/vendor/operation.h"

#include <algorithm>
#include <array>

#include "cuda_on_cpu/device.h"

namespace cuda_on_cpu {
namespace {

using expunge::DType;

struct PassNames {
  cudnnBackendDescriptorType_t operation;
  Node::Name conv, x, w, y, alpha, beta;
};
constexpr std::array<PassNames, 3> kNames = {
    {{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
     {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
     {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}}};

size_t pass_of(const Node& op) {
  return static_cast<size_t>(std::ranges::find(kNames, op.type, &PassNames::operation) -
                             kNames.begin());
}

// Dimensions are (N, C, H, W); in memory channels come last.
std::vector<int64_t> dimensions(const Node& tensor) {
  std::vector<int64_t> d = tensor.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  const std::vector<int64_t> nhwc = {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]};
  if (tensor.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES) != nhwc) die("cuDNN: a tensor is not NHWC");
  if (std::ranges::any_of(d, [](int64_t extent) { return extent < 1; }))
    die("cuDNN: a tensor without elements");
  return d;
}

// Where a tensor is, by its id in the pack.
void* pointer(const Node& tensor, const Node& pack, int64_t elements, DType type) {
  const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto at = std::ranges::find(ids, tensor.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID));
  if (at == ids.end()) die("cuDNN: a tensor has no pointer");
  void* p = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)
                .at(static_cast<size_t>(at - ids.begin()));
  demand_device("cuDNN: a tensor", p, static_cast<size_t>(elements) * expunge::size_of(type));
  const auto alignment = tensor.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  if (reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(alignment) != 0)
    die("cuDNN: a tensor is not aligned to %ld bytes", alignment);
  return p;
}

}  // namespace

Convolution convolution_of(const Node& op) {
  const PassNames& names = kNames[pass_of(op)];
  const auto x = dimensions(op.node(names.x)), w = dimensions(op.node(names.w)),
             y = dimensions(op.node(names.y));
  const Node& conv = op.node(names.conv);
  const auto both = [&](Node::Name name) {  // rows and columns alike
    const auto v = conv.all<int64_t>(name);
    if (v.size() != 2 || v[0] != v[1]) die("cuDNN: rows and columns differ");
    return v[0];
  };
  if (conv.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
    die("cuDNN: a convolution with its filter flipped");
  if (conv.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT)
    die("cuDNN: sums that are not f32");
  if (conv.one<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2) die("cuDNN: not two dimensions");
  if (both(CUDNN_ATTR_CONVOLUTION_DILATIONS) != 1) die("cuDNN: a dilated convolution");
  if (both(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS) != both(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS))
    die("cuDNN: padding differs");
  if (op.one<float>(names.alpha) != 1.0f) die("cuDNN: alpha is 1 here");
  const auto type = op.node(names.x).one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
  const Convolution c{.pass = static_cast<ConvPass>(pass_of(op)),
                      .shape = {.N = x[0],
                                .H = x[2],
                                .W = x[3],
                                .C = x[1],
                                .K = w[0],
                                .R = w[2],
                                .S = w[3],
                                .stride = both(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
                                .pad = both(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)},
                      .type = type == CUDNN_DATA_FLOAT      ? DType::f32
                              : type == CUDNN_DATA_BFLOAT16 ? DType::bf16
                                                            : DType::f16,
                      .beta = op.one<float>(names.beta),
                      .x = nullptr,
                      .w = nullptr,
                      .y = nullptr};
  const auto& s = c.shape;
  if (w[1] != s.C || y != std::vector{s.N, s.K, s.P(), s.Q()}) die("cuDNN: shapes do not fit");
  for (const Node::Name name : {names.w, names.y})
    if (op.node(name).one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE) != type)
      die("cuDNN: tensors of different types");
  return c;
}

int64_t alignment_of(const Node& op) {
  const PassNames& names = kNames[pass_of(op)];
  int64_t least = INT64_MAX;
  for (const Node::Name name : {names.x, names.w, names.y})
    least = std::min(least, op.node(name).one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT));
  return least;
}

Convolution convolution_of(const Node& op, const Node& pack) {
  const PassNames& names = kNames[pass_of(op)];
  Convolution c = convolution_of(op);
  c.x = pointer(op.node(names.x), pack, c.x_size(), c.type);
  c.w = pointer(op.node(names.w), pack, c.w_size(), c.type);
  c.y = pointer(op.node(names.y), pack, c.y_size(), c.type);
  return c;
}

}  // namespace cuda_on_cpu
