#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/hd.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace expunge {

enum class DType : unsigned char { f32, i32, u8, bf16, f16 };
constexpr bool is_16_bit(DType type) {
  return type == DType::bf16 || type == DType::f16;
}
constexpr size_t size_of(DType type) {
  return type == DType::u8 ? 1 : is_16_bit(type) ? 2 : 4;
}

// A float's upper half: its sign, its exponent and 7 bits of its fraction.
struct bf16 {
  uint16_t bits;
};

// IEEE's binary16: sign, 5 bits of exponent, 10 of fraction. To 65504, in steps of 2^-24 at least.
struct f16 {
  uint16_t bits;
};

}  // namespace expunge

namespace expunge::math {

EXPUNGE_HD float to_float(float x) {
  return x;
}
EXPUNGE_HD float float_of_bits(uint32_t bits) {
  float x = 0;
  memcpy(&x, &bits, sizeof x);
  return x;
}
EXPUNGE_HD uint32_t bits_of_float(float x) {
  uint32_t bits = 0;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
EXPUNGE_HD float to_float(bf16 x) {
  return float_of_bits(uint32_t{x.bits} << 16);
}
EXPUNGE_HD float to_float(f16 x) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(x.bits));  // one instruction
#else
  const uint32_t sign = (x.bits & 0x8000u) << 16, size = x.bits & 0x7fffu;
  if (size >= 0x7c00) return float_of_bits(sign | 0x7f800000 | size << 13);  // infinity, NaN
  const float y = size < 0x400 ? static_cast<float>(size) * 0x1p-24f         // subnormal
                               : float_of_bits((size << 13) + (112u << 23));
  return float_of_bits(sign | bits_of_float(y));
#endif
}

// The nearest value, of two as near the even one; NaN stays NaN.
EXPUNGE_HD bf16 to_bf16(float x) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};  // one instruction
#else
  const uint32_t bits = bits_of_float(x);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
#endif
}
// The same; from 65520 on, halfway to what would be next, infinity.
EXPUNGE_HD f16 to_f16(float x) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(x))};
#else
  const uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  uint32_t y = 0;
  if (x != x)
    y = 0x7e00;
  else if (size >= 0x47800000)  // 2^16
    y = 0x7c00;
  else if (size < 0x38800000)  // 2^-14: beside 1/2 a float has f16's steps of 2^-24
    y = bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000;
  else
    y = ((size + 0xfff + (size >> 13 & 1)) >> 13) - (112u << 10);
  return {static_cast<uint16_t>(sign | y)};
#endif
}
template <class T>
EXPUNGE_HD T from_float(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(x);
  else
    return to_f16(x);
}

}  // namespace expunge::math

namespace expunge {

// The largest float that from_float<T> makes 0: half the smallest T.
template <class T>
inline constexpr float kRoundsToZero = 0.0f;
template <>
inline constexpr float kRoundsToZero<bf16> = 0x1p-134f;
template <>
inline constexpr float kRoundsToZero<f16> = 0x1p-25f;

using math::from_float, math::to_bf16, math::to_f16, math::to_float;

template <class T>
inline constexpr DType kDType = DType::f32;
template <>
inline constexpr DType kDType<int32_t> = DType::i32;
template <>
inline constexpr DType kDType<uint8_t> = DType::u8;
template <>
inline constexpr DType kDType<bf16> = DType::bf16;
template <>
inline constexpr DType kDType<f16> = DType::f16;

[[noreturn]] void wrong_dtype();  // throws: a value's type is not the one asked for

// Where a kernel finds numbers of any floating type; null: there are none.
struct ConstValues {
  const void* at = nullptr;
  DType type = DType::f32;

  ConstValues() = default;
  ConstValues(std::nullptr_t) {}
  ConstValues(const float* floats) : at(floats) {}  // NOLINT: a float's address is one of them
  ConstValues(const bf16* values) : at(values), type(DType::bf16) {}
  ConstValues(const f16* values) : at(values), type(DType::f16) {}
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
  Values(f16* values) : at(values), type(DType::f16) {}
  Values(void* where, DType of) : at(where), type(of) {}

  operator ConstValues() const { return {at, type}; }
  Values from(int64_t element) const {
    return {static_cast<unsigned char*>(at) + static_cast<size_t>(element) * size_of(type), type};
  }
  template <class T>
  T* as() const {
    if (at != nullptr && type != kDType<T>) wrong_dtype();
    return static_cast<T*>(at);
  }
  float* f32() const { return as<float>(); }
};

// f(float{}), f(bf16{}) or f(f16{}), by the type of what is worked on.
template <class F>
void of_type(DType type, F f) {
  type == DType::bf16 ? f(bf16{}) : type == DType::f16 ? f(f16{}) : f(float{});
}

}  // namespace expunge
