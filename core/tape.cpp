#include "core/tape.h"

#include <algorithm>
#include <utility>

namespace expunge {

int Tape::push(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<int>(nodes_.size()) - 1;
}

void Tape::bind(const ParamStore& store, GradBuffer grads, SliceSink* slices) {
  EXPUNGE_CHECK(nodes_.empty(), "tape: bind comes before the first operation");
  EXPUNGE_CHECK(grads.flat.size() == store.parameters().padded_size(),
                "tape: gradient buffer of {} for {} elements", grads.flat.size(),
                store.parameters().padded_size());
  EXPUNGE_CHECK(slices == nullptr || grads.beta == 0.0f,
                "tape: slices are watched in passes that overwrite, beta is {}", grads.beta);
  slices_ = slices;
  store_ = &store;
  grads_ = std::move(grads);
  joint_ = {};
  leaf_of_.assign(static_cast<size_t>(store.parameters().count()), -1);
}

void Tape::bind_joint(const ParamStore& store, const BatchGradients& first,
                      const BatchGradients& second) {
  bind(store, {first.flat, 0.0f});
  EXPUNGE_CHECK(second.flat.size() == first.flat.size(), "tape: gradient buffers of {} and {}",
                first.flat.size(), second.flat.size());
  joint_ = {first, second};
}

void Tape::bind_constants(const ParamStore& store) {
  EXPUNGE_CHECK(nodes_.empty(), "tape: bind comes before the first operation");
  slices_ = nullptr;
  store_ = &store;
  grads_ = {};
  joint_ = {};
  leaf_of_.clear();
}

Var Tape::parameter(int index) {
  EXPUNGE_CHECK(store_ != nullptr, "tape: no parameters are bound");
  if (!grads_.flat) return {store_->value(index), Var::kNone};
  int& leaf = leaf_of_[static_cast<size_t>(index)];
  if (leaf < 0) {
    const Range& range = store_->parameters()[index];
    Node node;
    node.shape = range.shape;
    node.grad = ParamStore::view(grads_.flat, range);
    node.touched = grads_.beta != 0.0f;
    node.parameter = index;
    leaf = push(std::move(node));
  }
  return {store_->value(index), leaf};
}

Var Tape::leaf(Tensor value, GradSink sink) {
  Node node;
  node.shape = value.shape();
  node.grad = std::move(sink.grad);
  node.touched = sink.beta != 0.0f;
  return {std::move(value), push(std::move(node))};
}

// The first closure that reads a parameter runs last: the parameter is reported when it is through.
void Tape::note_readers(int reader, std::initializer_list<const Var*> inputs) {
  for (const Var* x : inputs) {
    if (x == nullptr || !x->wants_grad()) continue;
    Node& leaf = nodes_[static_cast<size_t>(x->slot)];
    if (leaf.parameter < 0 || leaf.first_reader >= 0) continue;
    leaf.first_reader = reader;
    Node& node = nodes_[static_cast<size_t>(reader)];
    leaf.next_ready = node.ready_head;
    node.ready_head = x->slot;
  }
}

const Range& Tape::range_of(const Var& x) const {
  return store_->parameters()[nodes_[static_cast<size_t>(x.slot)].parameter];
}

// For so many slices of `grad` or fewer, which are taken in together: rows on multiples of 256
// bytes, as tensors are. Several stay in a GPU's cache; on the CPU one does.
Tensor Tape::part_rows(int64_t slices, const Tensor& grad) {
  constexpr int64_t kFloats = 64, kCached = int64_t{32} << 20;  // bytes
  const int64_t row = std::max<int64_t>(1, (grad.size() + kFloats - 1) / kFloats) * kFloats,
                fit = kCached / (row * int64_t{sizeof(float)});
  const bool several = grad.stream().device == Device::cuda;
  const int64_t rows = several ? std::clamp<int64_t>(fit, 1, std::min(slices, kSlicesTogether)) : 1;
  return Tensor(Shape{rows, row}, grad.dtype(), grad.stream());
}

// Who watches the slices of x's gradient: of parameters alone, and one contribution at most.
SliceSink* Tape::slices_of(const Var& x) const {
  const Node& node = nodes_[static_cast<size_t>(x.slot)];
  if (slices_ == nullptr || node.parameter < 0) return nullptr;
  if (node.touched)
    fail(ExitCode::usage,
         "parameter {}: its gradient comes from two operations of a pass, and an estimator that "
         "looks into batches takes one; choose another estimator",
         range_of(x).name);
  return slices_;
}

GradSink Tape::sink(const Var& x) {
  EXPUNGE_CHECK(x.wants_grad(), "tape: sink of a value that records no gradient");
  if (slices_ != nullptr && nodes_[static_cast<size_t>(x.slot)].parameter >= 0)
    fail(ExitCode::usage,
         "parameter {}: an operation that reads it does not give its gradient image by image, as "
         "an estimator that looks into batches wants it; choose another estimator",
         range_of(x).name);
  if (is_joint(x)) refuse_joint(x);
  wait_beside(x);
  return open(x);
}

GradSink Tape::sink_of(const Var& x, int part) {
  if (!is_joint(x)) {
    EXPUNGE_CHECK(part == 0, "tape: batch {} of a pass over one", part);
    return sink(x);
  }
  wait_beside(x);
  return part == 0 ? open(x) : open_second(x);
}

// Whether x has a gradient for each of two batches.
bool Tape::is_joint(const Var& x) const {
  return joint_[1].flat && nodes_[static_cast<size_t>(x.slot)].parameter >= 0;
}

// Before x's gradient is touched in the pass itself.
void Tape::wait_beside(const Var& x) {
  if (nodes_[static_cast<size_t>(x.slot)].beside) join_side();
}

// Where a contribution to x's gradient may come later than it is asked for: who brings it.
SideStream* Tape::side_for(const Var& x, const PartsOf& of) {
  Node& node = nodes_[static_cast<size_t>(x.slot)];
  if (!overlap_ || reports_ || slices_ != nullptr || node.parameter < 0 || !of.reads[0])
    return nullptr;
  const Stream stream = node.grad.stream();
  if (stream.device != Device::cuda) return nullptr;
  side_ = &SideStream::of(stream);
  node.beside = true;
  return side_;
}

void Tape::join_side() {
  if (side_ != nullptr) std::exchange(side_, nullptr)->join();
}

GradSink Tape::open(const Var& x) {
  Node& node = nodes_[static_cast<size_t>(x.slot)];
  if (!node.grad) node.grad = Tensor(node.shape, node.dtype, node.stream);
  const float beta = node.touched ? 1.0f : 0.0f;
  node.touched = true;
  return {node.grad, beta};
}

GradSink Tape::open_second(const Var& x) {
  Node& node = nodes_[static_cast<size_t>(x.slot)];
  const float beta = std::exchange(node.touched_second, true) ? 1.0f : 0.0f;
  return {ParamStore::view(joint_[1].flat, range_of(x)), beta};
}

// Where the contribution comes image by image of so many.
GradSink Tape::open_second(const Var& x, int64_t images) {
  if (images != joint_[0].images + joint_[1].images) refuse_joint(x);
  return open_second(x);
}

void Tape::refuse_joint(const Var& x) const {
  fail(ExitCode::usage,
       "parameter {}: an operation that reads it does not give its gradient image by image of both "
       "batches of a joint pass; take them in passes of their own (--passes apart)",
       range_of(x).name);
}

void Tape::report(int leaf, Ready ready) {
  Node& node = nodes_[static_cast<size_t>(leaf)];
  // its readers were on a branch that no gradient reached
  if (!node.touched) node.grad.zero();
  if (joint_[1].flat && !node.touched_second)
    ParamStore::view(joint_[1].flat, store_->parameters()[node.parameter]).zero();
  node.touched = node.touched_second = true;
  if (ready) ready(node.parameter);
}

void Tape::pop() {
  Node& node = nodes_.back();
  if (node.closure != nullptr) node.closure->~Closure();
  if (node.parameter >= 0) leaf_of_[static_cast<size_t>(node.parameter)] = -1;
  nodes_.pop_back();
}

void Tape::backward(const Var& loss, const Tensor& seed, Ready ready) {
  try {
    run_backward(loss, seed, ready);
  } catch (...) {
    reset();
    throw;
  }
}

void Tape::run_backward(const Var& loss, const Tensor& seed, Ready ready) {
  EXPUNGE_CHECK(loss.wants_grad() && loss.value.size() == 1,
                "backward: needs a recorded scalar, got {}", loss.shape().str());
  reports_ = static_cast<bool>(ready);
  const GradSink start = sink(loss);
  EXPUNGE_CHECK(start.beta == 0.0f, "backward: the scalar has a gradient already");
  if (!one_ || one_.stream().device != loss.value.stream().device)
    one_ = Tensor::of({1.0f}).to(loss.value.stream());
  start.grad.copy_from((seed ? seed : one_).reshape(loss.shape()));
  const size_t count = leaf_of_.size();
  for (size_t i = 0; i < count; ++i) {
    if (leaf_of_[i] >= 0) continue;  // never used: final from the start
    const Range& range = store_->parameters()[static_cast<int>(i)];
    if (grads_.beta == 0.0f) ParamStore::view(grads_.flat, range).zero();
    if (joint_[1].flat) ParamStore::view(joint_[1].flat, range).zero();
  }
  std::vector<int>& leaves = leaf_of_;
  // A parameter leaf lies below its readers on the tape, so it is still there when they report it.
  while (!nodes_.empty()) {
    Node& node = nodes_.back();
    const int head = node.ready_head;
    if (node.closure != nullptr && node.touched) {
      const Tensor dy = node.grad;
      node.closure->run(*this, dy);
    }
    for (int leaf = head; leaf >= 0; leaf = nodes_[static_cast<size_t>(leaf)].next_ready)
      report(leaf, ready);
    if (node.parameter >= 0) {
      if (node.first_reader < 0) report(static_cast<int>(nodes_.size()) - 1, ready);
      leaves[static_cast<size_t>(node.parameter)] = -2;  // reported
    }
    if (node.closure != nullptr) node.closure->~Closure();
    nodes_.pop_back();
  }
  for (size_t i = 0; i < count; ++i) {
    if (leaves[i] == -1 && ready) ready(static_cast<int>(i));
    leaves[i] = -1;
  }
  join_side();
  arena_.reset();
}

void Tape::reset() {
  if (side_ != nullptr) std::exchange(side_, nullptr)->abandon();  // an error came between
  while (!nodes_.empty()) pop();
  arena_.reset();
}

}  // namespace expunge
