#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/hd.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#endif

namespace expunge {

enum class DType : unsigned char { f32, i32, u8, bf16 };
constexpr size_t size_of(DType type) {
  return type == DType::u8 ? 1 : type == DType::bf16 ? 2 : 4;
}

// A float's upper half: its sign, its exponent and 7 bits of its fraction.
struct bf16 {
  uint16_t bits;
};

}  // namespace expunge

namespace expunge::math {

EXPUNGE_HD float to_float(float x) {
  return x;
}
EXPUNGE_HD float to_float(bf16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

// The nearest value, of two as near the even one; NaN stays NaN.
EXPUNGE_HD bf16 to_bf16(float x) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};  // one instruction
#else
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
#endif
}
template <class T>
EXPUNGE_HD T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(float))
    return x;
  else
    return to_bf16(x);
}

}  // namespace expunge::math

namespace expunge {

using math::from_float, math::to_bf16, math::to_float;

template <class T>
inline constexpr DType kDType = DType::f32;
template <>
inline constexpr DType kDType<int32_t> = DType::i32;
template <>
inline constexpr DType kDType<uint8_t> = DType::u8;
template <>
inline constexpr DType kDType<bf16> = DType::bf16;

[[noreturn]] void wrong_dtype();  // throws: a value's type is not the one asked for

// Where a kernel finds numbers of either floating type; null: there are none.
struct ConstValues {
  const void* at = nullptr;
  DType type = DType::f32;

  ConstValues() = default;
  ConstValues(std::nullptr_t) {}
  ConstValues(const float* floats) : at(floats) {}  // NOLINT: a float's address is one of them
  ConstValues(const bf16* values) : at(values), type(DType::bf16) {}
  ConstValues(const void* where, DType of) : at(where), type(of) {}

  template <class T>
  const T* as() const {
    if (at != nullptr && type != kDType<T>) wrong_dtype();
    return static_cast<const T*>(at);
  }
  const float* f32() const { return as<float>(); }
  ConstValues from(int64_t element) const {
    return {static_cast<const unsigned char*>(at) + static_cast<size_t>(element) * size_of(type),
            type};
  }
};

// Where it puts them.
struct Values {
  void* at = nullptr;
  DType type = DType::f32;

  Values() = default;
  Values(std::nullptr_t) {}
  Values(float* floats) : at(floats) {}
  Values(bf16* values) : at(values), type(DType::bf16) {}
  Values(void* where, DType of) : at(where), type(of) {}

  operator ConstValues() const { return {at, type}; }
  template <class T>
  T* as() const {
    if (at != nullptr && type != kDType<T>) wrong_dtype();
    return static_cast<T*>(at);
  }
  float* f32() const { return as<float>(); }
};

// f(float{}) or f(bf16{}), by the type of what is worked on.
template <class F>
void of_type(DType type, F f) {
  type == DType::bf16 ? f(bf16{}) : f(float{});
}

}  // namespace expunge
