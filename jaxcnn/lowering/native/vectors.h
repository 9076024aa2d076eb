// Vectors of 16 float32, read from and written to arrays of float32 or bfloat16.
#pragma once

// GCC 12 takes the intrinsics' own undefined values for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "loops.h"

#define JAXCNN_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define JAXCNN_AVX512_INLINE inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512dq")))

namespace jaxcnn {

inline bool have_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

INLINE __mmask16 first_lanes(int64_t count) {
  return count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
}

JAXCNN_AVX512_INLINE __m512 load16(const float* from, __mmask16 some) { return _mm512_maskz_loadu_ps(some, from); }

JAXCNN_AVX512_INLINE __m512 load16(const bfloat16* from, __mmask16 some) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from)), 16));
}

// The bits of bfloat16, as the upper halves of lanes whose lower halves mean nothing: to nearest, ties to even.
JAXCNN_AVX512_INLINE __m512i rounded_bits(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value), one = _mm512_set1_epi32(1);
  const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
  const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
}

// A value as an array of T keeps it.
template <typename T>
JAXCNN_AVX512_INLINE __m512 rounded(__m512 value) {
  if constexpr (sizeof(T) == 4) return value;
  return _mm512_castsi512_ps(_mm512_and_si512(rounded_bits(value), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}

JAXCNN_AVX512_INLINE void store16(float* to, __m512 value, __mmask16 some) { _mm512_mask_storeu_ps(to, some, value); }

JAXCNN_AVX512_INLINE void store16(bfloat16* to, __m512 value, __mmask16 some) {
  const __m256i halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded_bits(value), 16));
  _mm256_mask_storeu_epi16(to, some, halves);
}

}  // namespace jaxcnn
