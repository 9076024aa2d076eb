// What the AMX kernels share: tiles, transposes, images side by side, float32 as a sum of bfloat16.
#pragma once

#include "vectors.h"

#define JAXCNN_AMX __attribute__((target("amx-tile,amx-bf16")))

namespace jaxcnn {

constexpr int64_t kTile = 16;   // rows of a tile, and its columns of float32
constexpr int64_t kDepth = 32;  // bfloat16 in a row of a tile
constexpr int64_t kTileBytes = 1024;

// Which pieces of two split numbers are multiplied, the smallest products first.
constexpr int kPairs[6][2] = {{2, 0}, {0, 2}, {1, 1}, {1, 0}, {0, 1}, {0, 0}};

// Whether this processor and this kernel let the process use AMX.
bool have_amx();

JAXCNN_AMX inline void configure_tiles() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  __asm__ volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic lets the compiler drop most of the struct
}

JAXCNN_AMX inline void release_tiles() { _tile_release(); }

inline int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// A view of images that stand side by side: `width` columns of each, `step` apart, beginning at (top, left), which may
// lie outside.
template <typename T>
struct Canvas {
  const T* images;
  int64_t count, rows, columns, channels;
  int64_t side_by_side, width, step, top, left;

  // Calls use(place of the channels or null, position) for every position of `seen` rows, from left to right and down.
  template <typename Use>
  __attribute__((always_inline)) void walk(int64_t seen, Use use) const {
    int64_t at = 0;
    for (int64_t row = top; row < top + seen; ++row)
      for (int64_t image = 0; image < side_by_side; ++image)
        for (int64_t i = 0, column = left; i < width; ++i, column += step, ++at) {
          const bool inside = image < count && row >= 0 && row < rows && column >= 0 && column < columns;
          use(inside ? images + ((image * rows + row) * columns + column) * channels : nullptr, at);
        }
  }
};

// 16 channels as 32-bit lanes.
JAXCNN_AVX512 inline __m512i widen(const uint16_t* channels) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(channels)));
}

// Interleaves two rows of 16 bfloat16, given as 32-bit lanes: (first, second) in each lane.
JAXCNN_AVX512 inline __m512i interleave(__m512i first, __m512i second) {
  return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

// Splits 16 float32 into three bfloat16 that sum to them (24 bits in 3 x 8), as 32-bit lanes. By truncation: rounding
// could overflow. Only for finite numbers; returns whether any is not.
JAXCNN_AVX512 inline bool split(__m512 value, __m512i pieces[3]) {
  const __m512i exponent = _mm512_set1_epi32(0x7f800000), top = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const __m512i bits = _mm512_castps_si512(value);
  const __mmask16 odd = _mm512_cmpeq_epi32_mask(_mm512_and_si512(bits, exponent), exponent);
  for (int piece = 0; piece < 3; ++piece) {
    const __m512i high = _mm512_and_si512(_mm512_castps_si512(value), top);
    pieces[piece] = _mm512_srli_epi32(high, 16);
    value = _mm512_sub_ps(value, _mm512_castsi512_ps(high));
  }
  return odd != 0;
}

// Transposes 16 x 16 lanes of 32 bits.
JAXCNN_AVX512 inline void transpose(__m512i rows[16]) {
  __m512i a[16], b[16];
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
  }
}

}  // namespace jaxcnn
