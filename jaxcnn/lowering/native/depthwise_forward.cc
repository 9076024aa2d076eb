// A depthwise convolution of 3x3 in bfloat16: every channel by itself, 32 of them at a time.
//
// A vector of 32 bfloat16 is two of 16 float32, the even channels and the odd ones, for one operation each. Four
// neighbouring outputs share what they see, and the weights. Every output sums its products in one order.

#include "direct.h"

#define JAXCNN_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 64, kTogether = 4, kLanes = 32;

// What one row of the result sees: rows of the map, null beyond its border.
struct Rows {
  const bfloat16* x[3];
  int64_t columns, channels, low;
};

// Computes `count` neighbouring outputs, at most kTogether, of 32 channels. kInside: all that they see is on the map.
template <bool kInside>
JAXCNN_AVX512_BF16 inline __attribute__((always_inline)) void add_taps(const Rows& rows, const float* weights,
                                                                       int64_t channel, int64_t column, int64_t count,
                                                                       bfloat16* out) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  __m512 evens[kTogether], odds[kTogether];
  for (int at = 0; at < kTogether; ++at) evens[at] = odds[at] = _mm512_setzero_ps();
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    if (!rows.x[i]) continue;
    __m512 even[3], odd[3];
    for (int j = 0; j < 3; ++j) {
      even[j] = _mm512_load_ps(weights + (3 * i + j) * kLanes);
      odd[j] = _mm512_load_ps(weights + (3 * i + j) * kLanes + 16);
    }
#pragma GCC unroll 6
    for (int seen = 0; seen < kTogether + 2; ++seen) {
      const int64_t place = column + seen - rows.low;
      if (!kInside && (place < 0 || place >= rows.columns)) continue;
      const __m512i both = _mm512_loadu_si512(rows.x[i] + place * rows.channels + channel);
      const __m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
      const __m512 b = _mm512_castsi512_ps(_mm512_and_si512(both, upper));
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j)
        if (const int at = seen - j; at >= 0 && at < kTogether) {
          evens[at] = _mm512_fmadd_ps(a, even[j], evens[at]);
          odds[at] = _mm512_fmadd_ps(b, odd[j], odds[at]);
        }
    }
  }
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                         20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
#pragma GCC unroll 4
  for (int at = 0; at < kTogether; ++at)
    if (kInside || at < count) {
      const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(odds[at], evens[at]);
      _mm512_storeu_si512(out + at * rows.channels + channel, _mm512_permutexvar_epi16(order, halves));
    }
}

class DepthwiseForward : public Direct {
 public:
  explicit DepthwiseForward(const DirectShape& s) : s_(s) {}

  void run(ffi::ThreadPool& threads, const void* x, const void* weights, void* out) const override {
    const Scratch packed(1, 9 * s_.out_channels);
    pack(static_cast<const bfloat16*>(weights), packed.of(0));
    const auto* const from = static_cast<const bfloat16*>(x);
    const int64_t rows = s_.batch * s_.out_rows, count = std::min(kParts, rows);
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      for (int64_t row = rows * part / count; row < rows * (part + 1) / count; ++row)
        convolve(from, packed.of(0), row,
                 static_cast<bfloat16*>(out) + row * s_.out_columns * s_.out_channels);
    });
  }

 private:
  // packed[32 channels][row][column][even channels, odd channels]
  void pack(const bfloat16* weights, float* to) const {
    for (int64_t channel = 0; channel < s_.out_channels; channel += kLanes)
      for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 3; ++j)
          for (int64_t lane = 0; lane < kLanes; ++lane)
            *to++ = widen(weights[(channel + 2 * (lane % 16) + lane / 16) * s_.weight_out + i * s_.weight_rows +
                                  j * s_.weight_columns]);
  }

  JAXCNN_AVX512_BF16 void convolve(const bfloat16* x, const float* weights, int64_t row, bfloat16* out) const {
    const int64_t channels = s_.out_channels;
    Rows rows{{}, s_.columns, channels, s_.low_columns};
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t at = row % s_.out_rows + i - s_.low_rows;
      if (at >= 0 && at < s_.rows) rows.x[i] = x + (row / s_.out_rows * s_.rows + at) * s_.columns * channels;
    }
    for (int64_t column = 0; column < s_.out_columns; column += kTogether) {
      bfloat16* const to = out + column * channels;
      const bool inside = column >= s_.low_columns && column + kTogether + 2 - s_.low_columns <= s_.columns &&
                          column + kTogether <= s_.out_columns;
      for (int64_t channel = 0; channel < channels; channel += kLanes) {
        if (inside)
          add_taps<true>(rows, weights + 9 * channel, channel, column, kTogether, to);
        else
          add_taps<false>(rows, weights + 9 * channel, channel, column, s_.out_columns - column, to);
      }
    }
  }

  DirectShape s_;
};

}  // namespace

std::unique_ptr<Direct> depthwise_forward(const DirectShape& s) {
  const bool whole = s.half && s.kernel_rows == 3 && s.kernel_columns == 3 && s.out_channels % kLanes == 0;
  if (!whole || !have_avx512() || !__builtin_cpu_supports("avx512bf16")) return nullptr;
  return std::make_unique<DepthwiseForward>(s);
}

}  // namespace jaxcnn
