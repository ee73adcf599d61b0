#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <vector>

#include "core/arena.h"
#include "core/function_ref.h"
#include "core/param_store.h"
#include "core/side_stream.h"
#include "core/slices.h"
#include "core/tensor.h"

namespace expunge {

// A value in a differentiable computation. `slot` names its gradient on the tape; kNone means that
// nothing upstream wants a gradient, so nothing is recorded for it.
struct Var {
  static constexpr int kNone = -1;
  Tensor value;
  int slot = kNone;

  bool wants_grad() const { return slot != kNone; }
  const Shape& shape() const { return value.shape(); }
};

// Where a backward kernel writes: grad = beta * grad + contribution. beta is 0 for the first
// contribution (the memory may hold anything) and 1 afterwards.
struct GradSink {
  Tensor grad;
  float beta = 0;
};

// Where the parameters' gradients go: ranges of `flat`, which has the store's layout. With beta = 0
// a pass overwrites, with beta = 1 it adds to what is there.
struct GradBuffer {
  Tensor flat;
  float beta = 0;
};

// Records operations in execution order and replays their gradients in reverse. The tape does no
// arithmetic: it decides order and destination, and the kernels accumulate. Execution order is a
// topological order, so there is no graph, no recursion and no sort. Nodes live in a bump arena:
// steady steps allocate nothing.
class Tape {
 public:
  // Called with a parameter's index once its gradient is final and nothing still to run reads its
  // value.
  using Ready = FunctionRef<void(int parameter)>;

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() { reset(); }

  // Parameters of `store` used from now on collect their gradients in `grads`. Both must outlive
  // backward(). With `slices` (grads.beta = 0) it sees every parameter's gradient slice by slice;
  // operations must hand theirs in through add_parts, and each parameter may have one only:
  // anything else is ExitCode::usage.
  void bind(const ParamStore& store, GradBuffer grads, SliceSink* slices = nullptr);
  // The same for a joint pass over two batches, one behind the other (Ctx::joint), each with its
  // number of images and a buffer for what they contribute. Operations must hand parameters'
  // gradients in through add_parts, of all these images, or sink_of: anything else is
  // ExitCode::usage.
  struct BatchGradients {
    Tensor flat;
    int64_t images = 0;
  };
  void bind_joint(const ParamStore& store, const BatchGradients& first,
                  const BatchGradients& second);
  // Parameters of `store` used from now on are constants: for gradients of other leaves alone.
  void bind_constants(const ParamStore& store);
  // Whether, on a GPU, gradients of parameters that come through add_parts are computed beside the
  // rest of the pass (core/side_stream.h). All of them are there when it ends. Not in passes that
  // report parameters or watch slices, which need each at once.
  void set_overlap(bool on) { overlap_ = on; }

  Var parameter(int index);  // the leaf for the bound store's parameter, the same one each time
  Var leaf(Tensor value, GradSink sink);  // any other leaf; its gradient goes where the caller says

  // An operation's result. `backward(Tape&, const Tensor& dy)` runs once, after every consumer of y
  // has run, and not at all where no input wants a gradient or none arrived. dy may be overwritten
  // by it.
  template <std::invocable<Tape&, const Tensor&> F>
  Var record(Tensor y, std::initializer_list<const Var*> inputs, F backward);

  // The place to add a contribution to d(loss)/d(x). Precondition: x.wants_grad().
  GradSink sink(const Var& x);

  // The same of batch `part` of a joint pass, where x is a parameter; otherwise part is 0.
  GradSink sink_of(const Var& x, int part);

  // Whether gradients of parameters are looked at slice by slice, and sink() refuses to take them.
  bool watches_slices() const { return slices_ != nullptr; }

  // The same for a gradient whose contributions come image by image: part(stream, n0, n1, sink)
  // adds that of images [n0, n1) of a batch. Called once, with all images, unless slices are
  // watched.
  struct PartsOf {
    int64_t images = 0;
    const RowProduct* product = nullptr;  // the gradient as a product, where it is one
    SideStream::Keeps reads{};  // what part() reads, if it may come later than it is asked
  };
  template <std::invocable<Stream, int64_t, int64_t, const GradSink&> Part>
  void add_parts(const Var& x, const PartsOf& of, Part part);

  // Runs the tape backwards from a scalar whose own gradient is `seed`, (1) where the scalar is,
  // or 1; frees activations on the way, then empties the tape. Parameters that no gradient reached
  // get a zero gradient (beta = 0) and are reported last. After an error the tape is empty.
  void backward(const Var& loss, const Tensor& seed = {}, Ready ready = {});

  void reset();  // drops everything recorded

 private:
  struct Closure {  // lives in the arena
    virtual void run(Tape& tape, const Tensor& dy) = 0;
    virtual ~Closure() = default;
  };
  struct Node {
    Shape shape;
    DType dtype = DType::f32;
    Stream stream{};
    Tensor grad;
    bool touched = false;         // has a contribution landed in `grad`?
    bool touched_second = false;  // and in the second batch's gradient?
    Closure* closure = nullptr;
    int parameter = -1;
    int first_reader =
        -1;  // parameters: the first node that reads the value, hence the last to run backwards
    int next_ready = -1;  // nodes: list of parameter leaves to report once this node has run
    int ready_head = -1;
    bool beside = false;  // contributions are on their way in the side stream
  };

  int push(Node node);
  GradSink open(const Var& x);
  GradSink open_second(const Var& x);
  GradSink open_second(const Var& x, int64_t images);
  [[noreturn]] void refuse_joint(const Var& x) const;
  bool is_joint(const Var& x) const;
  SliceSink* slices_of(const Var& x) const;
  SideStream* side_for(const Var& x, const PartsOf& of);
  void wait_beside(const Var& x);
  void join_side();
  void run_backward(const Var& loss, const Tensor& seed, Ready ready);
  const Range& range_of(const Var& x) const;
  static Tensor part_rows(int64_t slices, const Tensor& grad);
  void note_readers(int reader, std::initializer_list<const Var*> inputs);
  void report(int leaf, Ready ready);
  void pop();

  Arena arena_;
  std::vector<Node> nodes_;
  const ParamStore* store_ = nullptr;
  GradBuffer grads_;
  std::array<BatchGradients, 2> joint_;  // of a joint pass
  SliceSink* slices_ = nullptr;
  std::vector<int> leaf_of_;  // parameter -> node or -1
  bool overlap_ = false;
  bool reports_ = false;        // this pass does
  SideStream* side_ = nullptr;  // with work of this pass
  Tensor one_;                  // to start from, kept where it is needed: sending it would wait
};

template <std::invocable<Tape&, const Tensor&> F>
Var Tape::record(Tensor y, std::initializer_list<const Var*> inputs, F backward) {
  struct Holder final : Closure {
    explicit Holder(F f) : f_(std::move(f)) {}
    void run(Tape& tape, const Tensor& dy) override { f_(tape, dy); }
    F f_;
  };
  bool wanted = false;
  for (const Var* x : inputs) wanted = wanted || (x != nullptr && x->wants_grad());
  if (!wanted) return {std::move(y), Var::kNone};
  Node node;
  node.shape = y.shape();
  node.dtype = y.dtype();
  node.stream = y.stream();
  node.closure = new (arena_.allocate(sizeof(Holder), alignof(Holder))) Holder(std::move(backward));
  const int slot = push(std::move(node));
  note_readers(slot, inputs);
  return {std::move(y), slot};
}

template <std::invocable<Stream, int64_t, int64_t, const GradSink&> Part>
void Tape::add_parts(const Var& x, const PartsOf& of, Part part) {
  SliceSink* slices = slices_of(x);
  const GradSink whole = open(x);
  const Stream stream = whole.grad.stream();
  const GradSink second = is_joint(x) ? open_second(x, of.images) : GradSink{};
  const int64_t split = second.grad ? joint_[0].images : of.images;
  const auto add = [&](Stream at) {
    part(at, 0, split, whole);
    if (second.grad) part(at, split, of.images, second);
  };
  if (SideStream* side = side_for(x, of)) return side->run(of.reads, add);
  wait_beside(x);
  if (second.grad) return add(stream);
  if (slices == nullptr || (of.product != nullptr && slices->wants_products())) {
    part(stream, 0, of.images, whole);
    if (slices != nullptr) slices->take_product(range_of(x), *of.product, whole.grad);
    return;
  }
  const int64_t k = slices->slices(of.images);
  const Tensor parts = part_rows(k, whole.grad);
  const int64_t rows = parts.dim(0);
  for (SliceRun run{of.images, k, 0, rows}; run.first < k; run.first += run.count) {
    run.count = std::min(rows, k - run.first);
    for (int64_t j = 0; j < run.count; ++j) {
      const ImageRange range = run.images(j);
      const Tensor own = parts.slice(j * parts.dim(1), whole.grad.shape());
      part(stream, range.begin, range.end, GradSink{own, 0.0f});
    }
    slices->take(range_of(x), run, parts, whole.grad);
  }
}

}  // namespace expunge
