#pragma once

#include <cmath>

#include "core/hd.h"

// One struct per elementwise function: the value, and its derivative from x and y = f(x).
namespace expunge::math {

struct Relu {
  template <class T>
  EXPUNGE_HD T f(T x) {
    return x > T(0) ? x : T(0);
  }
  template <class T>
  EXPUNGE_HD T df(T x, T) {
    return x > T(0) ? T(1) : T(0);
  }
};

struct Sigmoid {
  template <class T>
  EXPUNGE_HD T f(T x) {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <class T>
  EXPUNGE_HD T df(T, T y) {
    return y * (T(1) - y);
  }
};

struct Tanh {
  template <class T>
  EXPUNGE_HD T f(T x) {
    return std::tanh(x);
  }
  template <class T>
  EXPUNGE_HD T df(T, T y) {
    return T(1) - y * y;
  }
};

// x Phi(x) with the normal distribution function Phi (Hendrycks & Gimpel 2016), not its tanh
// approximation.
struct Gelu {
  template <class T>
  EXPUNGE_HD T cdf(T x) {
    return T(0.5) * std::erfc(x * T(-0.70710678118654752));
  }
  template <class T>
  EXPUNGE_HD T f(T x) {
    return x * cdf(x);
  }
  template <class T>
  EXPUNGE_HD T df(T x, T) {
    return cdf(x) + x * T(0.39894228040143268) * std::exp(T(-0.5) * x * x);  // 1/sqrt(2 pi)
  }
};

}  // namespace expunge::math

// Every function above, for the files that compile it for a device.
#define EXPUNGE_FOR_EACH_ELEMENTWISE(X) X(Relu) X(Sigmoid) X(Tanh) X(Gelu)
