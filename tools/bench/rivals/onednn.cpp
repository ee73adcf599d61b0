#include <dnnl.hpp>
#include <unordered_map>

#include "tools/bench/rivals/rival.h"

// RIVAL_ANY undefined: activations NHWC; what oneDNN makes of the weights' layout, and back, is
// part of the call, as ours packs them in each call. Defined: its own layouts for everything, and
// no reordering is counted: the bare kernels.
namespace {

using namespace dnnl;
using expunge::rivals::Prepared;
using expunge::rivals::Problem;
using expunge::tools::Direction;
using tag = memory::format_tag;

#if defined(RIVAL_ANY)
constexpr tag kActivations = tag::any;
constexpr const char* kName = "onednn any";
constexpr bool kReordersCount = false;
#else
constexpr tag kActivations = tag::nhwc;
constexpr const char* kName = "onednn nhwc";
constexpr bool kReordersCount = true;
#endif

const engine& cpu() {
  static const engine e(engine::kind::cpu, 0);
  return e;
}

struct Shapes {
  memory::dims x, w, y, stride, pad;
  memory::desc desc(const memory::dims& d, tag t) const { return {d, memory::data_type::f32, t}; }
};

// API 3 has no operation descriptors; otherwise the calls are alike.
#if DNNL_VERSION_MAJOR >= 3
template <class Primitive, class... Args>
auto descriptor(Args... args) {
  return typename Primitive::primitive_desc(cpu(), args...);
}
#else
template <class Primitive, class... Args>
auto descriptor(Args... args) {
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), cpu());
}
#endif
convolution_forward::primitive_desc forward_of(const Shapes& s) {
  return descriptor<convolution_forward>(prop_kind::forward_training, algorithm::convolution_direct,
                                         s.desc(s.x, kActivations), s.desc(s.w, tag::any),
                                         s.desc(s.y, kActivations), s.stride, s.pad, s.pad);
}
#if DNNL_VERSION_MAJOR >= 3
template <class Primitive>
auto gradient_of(const Shapes& s, const memory::desc& first, const memory::desc& second,
                 const memory::desc& third) {
  return typename Primitive::primitive_desc(cpu(), algorithm::convolution_direct, first, second,
                                            third, s.stride, s.pad, s.pad, forward_of(s));
}
#else
template <class Primitive>
auto gradient_of(const Shapes& s, const memory::desc& first, const memory::desc& second,
                 const memory::desc& third) {
  return typename Primitive::primitive_desc(
      typename Primitive::desc(algorithm::convolution_direct, first, second, third, s.stride, s.pad,
                               s.pad),
      cpu(), forward_of(s));
}
#endif

struct Convolution {
  stream queue{cpu()};
  memory x, w, y;     // in our layouts
  memory px, pw, py;  // in the primitive's, the same memory where that is ours
  primitive run;
  std::unordered_map<int, memory> arguments;
  Direction direction;

  void convert(memory& from, memory& to) {
    if (from != to) reorder(from, to).execute(queue, from, to);
  }
  void take_in() {
    if (direction != Direction::backward_data) convert(x, px);
    if (direction != Direction::backward_weights) convert(w, pw);
    if (direction != Direction::forward) convert(y, py);
    queue.wait();
  }
  void compute() {
    run.execute(queue, arguments);
    queue.wait();
  }
  void give_back() {
    if (direction == Direction::forward) convert(py, y);
    if (direction == Direction::backward_data) convert(px, x);
    if (direction == Direction::backward_weights) convert(pw, w);
    queue.wait();
  }
  void place(const memory::desc& dx, const memory::desc& dw, const memory::desc& dy) {
    px = dx == x.get_desc() ? x : memory(dx, cpu());
    pw = dw == w.get_desc() ? w : memory(dw, cpu());
    py = dy == y.get_desc() ? y : memory(dy, cpu());
  }
};

Prepared prepare(const Problem& p) {
  const auto& t = p.shape;
  const Shapes s{{t.N, t.C, t.H, t.W},
                 {t.K, t.C, t.R, t.S},
                 {t.N, t.K, t.P(), t.Q()},
                 {t.stride, t.stride},
                 {t.pad, t.pad}};
  const auto c = std::make_shared<Convolution>();
  c->direction = p.direction;
  c->x = memory(s.desc(s.x, tag::nhwc), cpu(), p.x.data());
  c->w = memory(s.desc(s.w, tag::ohwi), cpu(), p.w.data());
  c->y = memory(s.desc(s.y, tag::nhwc), cpu(), p.y.data());
  const memory::desc x = s.desc(s.x, kActivations), w = s.desc(s.w, tag::any),
                     y = s.desc(s.y, kActivations);
  if (p.direction == Direction::forward) {
    const auto d = forward_of(s);
    c->place(d.src_desc(), d.weights_desc(), d.dst_desc());
    c->run = convolution_forward(d);
    c->arguments = {{DNNL_ARG_SRC, c->px}, {DNNL_ARG_WEIGHTS, c->pw}, {DNNL_ARG_DST, c->py}};
  } else if (p.direction == Direction::backward_data) {
    const auto d = gradient_of<convolution_backward_data>(s, x, w, y);
    c->place(d.diff_src_desc(), d.weights_desc(), d.diff_dst_desc());
    c->run = convolution_backward_data(d);
    c->arguments = {
        {DNNL_ARG_DIFF_SRC, c->px}, {DNNL_ARG_WEIGHTS, c->pw}, {DNNL_ARG_DIFF_DST, c->py}};
  } else {
    const auto d = gradient_of<convolution_backward_weights>(s, x, w, y);
    c->place(d.src_desc(), d.diff_weights_desc(), d.diff_dst_desc());
    c->run = convolution_backward_weights(d);
    c->arguments = {
        {DNNL_ARG_SRC, c->px}, {DNNL_ARG_DIFF_WEIGHTS, c->pw}, {DNNL_ARG_DIFF_DST, c->py}};
  }
  c->take_in();
  const auto keep = p;  // the tensors live as long as the calls
  if (kReordersCount) return {.call = [c, keep] { c->take_in(), c->compute(), c->give_back(); }};
  return {.call = [c, keep] { c->compute(); }, .fetch = [c] { c->give_back(); }};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return expunge::rivals::run_rival(kName, argc, argv, prepare);
  } catch (const error& e) {
    return std::fprintf(stderr, "%s: %s\n", kName, e.what()), 1;
  }
}
