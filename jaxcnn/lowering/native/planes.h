// Rows of few channels, (position, channel), as one vector a channel, and back: 16 positions at a time.
#pragma once

#include "direct.h"

namespace jaxcnn {

constexpr int kMostPlanes = 8;

// 16 positions of n channels are n vectors. Lane l of vector v is place f = 16 v + l, which is channel f % n of position
// f / n. A lane takes its value from one of two vectors, which one permutation reads; a mask tells of which two.
class Planes {
 public:
  explicit Planes(int64_t channels) {
    for (int64_t v = 0; v < channels; ++v)
      for (int64_t lane = 0; lane < 16; ++lane) {
        const int64_t place = 16 * v + lane, from = lane * channels + v;  // `from`: of position `lane`, in plane v
        set(join_, join_masks_, v, lane, place % channels, place / channels);
        set(part_, part_masks_, v, lane, from / 16, from % 16);
      }
  }

  // Writes `count` positions (at most 16) of planes as rows of channels.
  template <int kChannels, typename T>
  JAXCNN_AVX512_INLINE void join(const __m512 planes[kChannels], int64_t count, T* rows) const {
#pragma GCC unroll 8
    for (int v = 0; v < kChannels; ++v) {
      const int64_t rest = count * kChannels - 16 * v;
      if (rest > 0) store16(rows + 16 * v, pick<kChannels>(planes, join_[v], join_masks_[v]), first_lanes(rest));
    }
  }

  // Writes planes as bfloat16, which `pairs`, the planes of half the channels, join two channels to a lane.
  template <int kChannels>
  JAXCNN_AVX512_INLINE static void join_pairs(const Planes& pairs, const __m512 planes[kChannels], int64_t count,
                                              bfloat16* rows) {
    __m512 two[kChannels / 2];
#pragma GCC unroll 4
    for (int k = 0; k < kChannels / 2; ++k) {
      const __m512i low = _mm512_srli_epi32(rounded_bits(planes[2 * k]), 16);
      const __m512i high = _mm512_and_si512(rounded_bits(planes[2 * k + 1]), _mm512_set1_epi32(static_cast<int>(0xffff0000)));
      two[k] = _mm512_castsi512_ps(_mm512_or_si512(low, high));
    }
    pairs.join<kChannels / 2>(two, count, reinterpret_cast<float*>(rows));
  }

  // Reads `count` positions (at most 16) of rows of channels as planes: zeros beyond.
  template <int kChannels, typename T>
  JAXCNN_AVX512_INLINE void part(const T* rows, int64_t count, __m512 planes[kChannels]) const {
    __m512 from[kChannels];
#pragma GCC unroll 8
    for (int v = 0; v < kChannels; ++v)
      from[v] = load16(rows + 16 * v, first_lanes(std::max<int64_t>(count * kChannels - 16 * v, 0)));
#pragma GCC unroll 8
    for (int k = 0; k < kChannels; ++k) planes[k] = pick<kChannels>(from, part_[k], part_masks_[k]);
  }

 private:
  using Lanes = int32_t[kMostPlanes][16];
  using Masks = uint16_t[kMostPlanes][kMostPlanes / 2];

  static void set(Lanes& lanes, Masks& masks, int64_t v, int64_t lane, int64_t vector, int64_t at) {
    lanes[v][lane] = static_cast<int32_t>(at + vector % 2 * 16);
    masks[v][vector / 2] |= static_cast<uint16_t>(1 << lane);
  }

  template <int kChannels>
  JAXCNN_AVX512_INLINE static __m512 pick(const __m512* from, const int32_t* lanes, const uint16_t* masks) {
    const __m512i index = _mm512_load_si512(lanes);
    const auto two = [&](int first) JAXCNN_AVX512 {
      return _mm512_permutex2var_ps(from[first], index, from[first + 1 < kChannels ? first + 1 : first]);
    };
    __m512 picked = two(0);
#pragma GCC unroll 4
    for (int pair = 1; 2 * pair < kChannels; ++pair) picked = _mm512_mask_mov_ps(picked, masks[pair], two(2 * pair));
    return picked;
  }

  alignas(64) Lanes join_ = {};
  alignas(64) Lanes part_ = {};
  Masks join_masks_ = {}, part_masks_ = {};
};

// Writes the rows of one image that windows see as planes[channel][row][step], zeros beyond the border; `step` holds
// `width` columns, rounded up.
template <typename T>
JAXCNN_AVX512_INLINE void lay_planes(const DirectShape& s, const T* image, int64_t seen_rows, int64_t step, float* planes) {
  const int64_t channels = s.in_channels, right = std::max<int64_t>(s.low_columns, 0);
  std::fill(planes, planes + channels * seen_rows * step, 0.f);
  const int64_t columns = std::min(s.columns, step - right);
  for (int64_t row = 0; row < seen_rows; ++row) {
    const int64_t at = row - s.low_rows;
    if (at < 0 || at >= s.rows) continue;
    const T* const from = image + at * s.columns * channels;
    float* const to = planes + row * step + right;
    if (channels == 1) {
      if (columns > 0) read(from, columns, to);
      continue;
    }
    for (int64_t column = 0; column < columns; ++column)
      for (int64_t c = 0; c < channels; ++c) to[c * seen_rows * step + column] = widen(from[column * channels + c]);
  }
}

}  // namespace jaxcnn
