#include "unlearn/influence.h"

#include <algorithm>
#include <cmath>

#include "kernels/reduce.h"

namespace expunge::unlearn {
namespace {

double dot(const Tensor& a, const Tensor& b) {
  return kernels::dot({}, a.size(), a.data(), b.data());
}

// y <- y + c x
void add_scaled(const Tensor& y, double c, const Tensor& x) {
  for (int64_t i = 0; i < y.size(); ++i)
    y.data()[i] = static_cast<float>(double{y.data()[i]} + c * double{x.data()[i]});
}

}  // namespace

InverseHessian::InverseHessian(const ParamStore& params, const InfluenceConfig& config)
    : config_(config),
      x_(Tensor::zeros({params.parameters().padded_size()})),
      r_(x_.clone()),
      p_(x_.clone()),
      q_(params) {}

void InverseHessian::start(const LongSum& v) {
  Tensor& begin = config_.optml ? x_ : r_;
  for (int64_t i = 0; i < v.size(); ++i) begin.data()[i] = static_cast<float>(v[i]);
  if (config_.optml) return;
  std::ranges::copy(r_.span(), p_.data());
}

void InverseHessian::take(int64_t i, int64_t samples, const Tensor& gradient) {
  if (config_.optml) return take_optml(i, gradient);
  const double along = dot(gradient, p_) / static_cast<double>(samples);
  for (int64_t j = 0; j < p_.size(); ++j) q_.add(j, along * double{gradient.data()[j]});
}

void InverseHessian::take_optml(int64_t i, const Tensor& gradient) {
  const Tensor &k = x_, &o = p_;
  if (i == 0) {
    std::ranges::copy(gradient.span(), o.data());
    return;
  }
  const double n = static_cast<double>(config_.samples), along = dot(o, gradient);
  add_scaled(k, -dot(k, gradient) / (n + along), o);
  add_scaled(o, -along / (n + along), o);
}

// Hestenes & Stiefel 1952.
void InverseHessian::end_round() {
  if (config_.optml) return;
  const double rr = dot(r_, r_);
  double php = 0;
  for (int64_t j = 0; j < p_.size(); ++j) {
    q_.add(j, config_.damping * double{p_.data()[j]});
    php += q_[j] * double{p_.data()[j]};
  }
  if (rr > 0 && php > 0) {
    const double a = rr / php;
    add_scaled(x_, a, p_);
    for (int64_t j = 0; j < p_.size(); ++j)
      r_.data()[j] = static_cast<float>(double{r_.data()[j]} - a * q_[j]);
    const double b = dot(r_, r_) / rr;
    for (int64_t j = 0; j < p_.size(); ++j)
      p_.data()[j] = static_cast<float>(double{r_.data()[j]} + b * double{p_.data()[j]});
  }
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
