#pragma once

#include <cmath>

#include "core/hd.h"
#include "core/rng.h"
#include "core/step_scalars.h"

// One struct per elementwise function: the value, and its derivative from x and y = f(x).
namespace expunge::math {

struct Relu {
  template <class T>
  EXPUNGE_HD T f(T x) {
    return x < T(0) ? T(0) : x;  // NaN stays NaN
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

EXPUNGE_HD float sign(float x) {
  return static_cast<float>(x > 0.0f) - static_cast<float>(x < 0.0f);
}

// beta y + d; beta 0: y may be anything, NaN included
EXPUNGE_HD float accumulated(float beta, float y, float d) {
  return beta == 0.0f ? d : beta * y + d;
}

// Dropout: the draw of elements 4 block .. 4 block + 3, a word each, and what becomes of one of
// them.
EXPUNGE_HD rng::Draw dropout_draw(const StepScalars& at, int32_t layer, int64_t block) {
  return rng::philox(at.seed, rng::Purpose::dropout,
                     {{static_cast<uint32_t>(block), static_cast<uint32_t>(layer),
                       static_cast<uint32_t>(at.pass), static_cast<uint32_t>(at.step)}});
}
EXPUNGE_HD float dropout(uint32_t word, float p, float scale, float x) {  // scale = 1 / (1 - p)
  return rng::uniform(word) >= p ? x * scale : 0.0f;
}

EXPUNGE_HD float lot(uint64_t seed, int64_t step, int64_t element) {
  return rng::uniform(rng::mask_draw(seed, step, element).word[1]);
}

}  // namespace expunge::math

// Every function above, for the files that compile it for a device.
#define EXPUNGE_FOR_EACH_ELEMENTWISE(X) X(Relu) X(Sigmoid) X(Tanh) X(Gelu)
