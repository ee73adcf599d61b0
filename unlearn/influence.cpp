#include "unlearn/influence.h"

#include <algorithm>
#include <cmath>

#include "kernels/reduce.h"

namespace expunge::unlearn {
namespace {

double dot(const Tensor& a, const Tensor& b) {
  return kernels::dot(a.stream(), a.size(), a.data(), b.data());
}

// y <- y + c x
void add_scaled(const Tensor& y, double c, const Tensor& x) {
  kernels::add_scaled(y.stream(), y.size(), c, x.data(), y.data());
}

}  // namespace

InverseHessian::InverseHessian(const ParamStore& params, const InfluenceConfig& config)
    : config_(config),
      x_(params.make_buffer()),
      r_(params.make_buffer()),
      p_(params.make_buffer()),
      q_(params) {}

void InverseHessian::start(const LongSum& v) {
  Tensor& begin = config_.optml ? x_ : r_;
  begin.copy_from(v.nearest());
  if (!config_.optml) p_.copy_from(r_);
}

void InverseHessian::take(int64_t i, int64_t samples, const Tensor& gradient) {
  if (config_.optml) return take_optml(i, gradient);
  q_.add(dot(gradient, p_) / static_cast<double>(samples), gradient);
}

void InverseHessian::take_optml(int64_t i, const Tensor& gradient) {
  const Tensor &k = x_, &o = p_;
  if (i == 0) {
    o.copy_from(gradient);
    return;
  }
  const double n = static_cast<double>(config_.samples), along = dot(o, gradient);
  add_scaled(k, -dot(k, gradient) / (n + along), o);
  add_scaled(o, -along / (n + along), o);
}

// Hestenes & Stiefel 1952.
void InverseHessian::end_round() {
  if (config_.optml) return;
  q_.add(config_.damping, p_);
  const LongSumHere q = q_.here();
  const double rr = dot(r_, r_);
  on_host(r_, [&](const Tensor& r) {
    on_host(p_, [&](const Tensor& p) {
      double php = 0;
      for (int64_t j = 0; j < p.size(); ++j) php += q[j] * double{p.data()[j]};
      if (!(rr > 0 && php > 0)) return;
      const double a = rr / php;
      add_scaled(x_, a, p_);
      for (int64_t j = 0; j < r.size(); ++j)
        r.data()[j] = static_cast<float>(double{r.data()[j]} - a * q[j]);
      const double b = dot(r, r) / rr;
      for (int64_t j = 0; j < p.size(); ++j)
        p.data()[j] = static_cast<float>(double{r.data()[j]} + b * double{p.data()[j]});
    });
  });
  q_.zero();
}

double InverseHessian::residual() const {
  return std::sqrt(dot(r_, r_));
}

std::vector<NamedBuffer> InverseHessian::state() const {
  std::vector<NamedBuffer> buffers = q_.state("influence.q");
  buffers.insert(buffers.end(), {{"influence.x", x_}, {"influence.r", r_}, {"influence.p", p_}});
  return buffers;
}

}  // namespace expunge::unlearn
