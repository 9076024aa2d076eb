// A bias, a ReLU and a max pool of 2x2 windows side by side, in one pass over a channels-last map; and their gradient.
//
// The map between ReLU and pool is never written: the gradient needs only the maxima, which are positive where the ReLU
// let one through, and which tap of each window won. NaN wins; of equal values the first in reading order. The
// gradient's parts are summed in their order, whoever computed them.

#include "vectors.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 32;

// The map's four taps of a window, or the gradient's, at its first channel.
template <typename T>
struct Window {
  T *first, *second, *third, *fourth;
};

// A value after bias, rounding to T and ReLU, as an integer of the same order; NaN is the largest.
template <typename T>
INLINE int32_t open(T x, float bias) {
  T rounded;
  narrow(widen(x) + bias, &rounded);
  const float value = widen(rounded);
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return value != value ? 0x7fffffff : std::max(bits, 0);
}

INLINE void put(int32_t bits, float* to) { std::memcpy(to, &bits, sizeof bits); }
INLINE void put(int32_t bits, bfloat16* to) { *to = static_cast<bfloat16>(bits >> 16); }

template <typename T>
void pool_any(const Window<const T>& x, const float* bias, int64_t channels, T* y, uint8_t* winner) {
  for (int64_t i = 0; i < channels; ++i) {
    const int32_t a = open(x.first[i], bias[i]), b = open(x.second[i], bias[i]);
    const int32_t c = open(x.third[i], bias[i]), d = open(x.fourth[i], bias[i]);
    const int32_t upper = std::max(a, b), lower = std::max(c, d);
    put(std::max(upper, lower), y + i);
    winner[i] = lower > upper ? (d > c ? 3 : 2) : (b > a ? 1 : 0);
  }
}

template <typename T>
void spread_any(const T* y, const uint8_t* winner, const T* dy, int64_t channels, const Window<T>& dx, float* sums) {
  for (int64_t i = 0; i < channels; ++i) {
    const T value = widen(y[i]) > 0.f ? dy[i] : T{};
    sums[i] += widen(value);
    dx.first[i] = winner[i] == 0 ? value : T{};
    dx.second[i] = winner[i] == 1 ? value : T{};
    dx.third[i] = winner[i] == 2 ? value : T{};
    dx.fourth[i] = winner[i] == 3 ? value : T{};
  }
}

template <typename T>
JAXCNN_AVX512 __m512i open16(const T* x, __m512 bias, __mmask16 some) {
  const __m512 sum = rounded<T>(_mm512_add_ps(load16(x, some), bias));
  const __m512i bits = _mm512_max_epi32(_mm512_castps_si512(sum), _mm512_setzero_si512());
  return _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fffffff));
}

template <typename T>
JAXCNN_AVX512 void pool_vectors(const Window<const T>& x, const float* bias, int64_t channels, T* y, uint8_t* winner) {
  for (int64_t at = 0; at < channels; at += 16) {
    const __mmask16 some = first_lanes(channels - at);
    const __m512 more = _mm512_maskz_loadu_ps(some, bias + at);
    const __m512i a = open16(x.first + at, more, some), b = open16(x.second + at, more, some);
    const __m512i c = open16(x.third + at, more, some), d = open16(x.fourth + at, more, some);
    const __m512i upper = _mm512_max_epi32(a, b), lower = _mm512_max_epi32(c, d);
    __m512i index = _mm512_maskz_set1_epi32(_mm512_cmpgt_epi32_mask(b, a), 1);
    const __m512i below = _mm512_sub_epi32(_mm512_set1_epi32(2), _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(d, c)));
    index = _mm512_mask_mov_epi32(index, _mm512_cmpgt_epi32_mask(lower, upper), below);
    store16(y + at, _mm512_castsi512_ps(_mm512_max_epi32(upper, lower)), some);
    _mm512_mask_cvtepi32_storeu_epi8(winner + at, some, index);
  }
}

template <typename T>
JAXCNN_AVX512 void spread_vectors(const T* y, const uint8_t* winner, const T* dy, int64_t channels, const Window<T>& dx,
                                  float* sums) {
  for (int64_t at = 0; at < channels; at += 16) {
    const __mmask16 some = first_lanes(channels - at);
    const __m512i index = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(some, winner + at));
    const __mmask16 through = _mm512_cmp_ps_mask(load16(y + at, some), _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 value = load16(dy + at, through & some);
    _mm512_storeu_ps(sums + at, _mm512_add_ps(_mm512_loadu_ps(sums + at), value));
    T* const taps[4] = {dx.first + at, dx.second + at, dx.third + at, dx.fourth + at};
    for (int tap = 0; tap < 4; ++tap)
      store16(taps[tap], _mm512_maskz_mov_ps(_mm512_cmpeq_epi32_mask(index, _mm512_set1_epi32(tap)), value), some);
  }
}

// A map, its maxima, and how they fit.
struct Halving {
  int64_t batch, rows, columns, channels, out_rows, out_columns;

  Halving(const Buffer& map, const Buffer& maxima, const Buffer& winner, const Buffer& bias) {
    require(map.dimensions().size() == 4 && maxima.dimensions().size() == 4, "a halved map has two spatial axes");
    batch = map.dimensions()[0], rows = map.dimensions()[1], columns = map.dimensions()[2];
    channels = map.dimensions()[3], out_rows = rows / 2, out_columns = columns / 2;
    require(batch > 0 && out_rows > 0 && out_columns > 0 && channels > 0, "an empty map has no maxima");
    const int64_t halves[] = {batch, out_rows, out_columns, channels};
    require(std::equal(halves, halves + 4, maxima.dimensions().begin()), "the maxima are not one for each 2x2 window");
    require(winner.element_type() == ffi::U8 && same(winner.dimensions(), maxima.dimensions()),
            "winners are bytes, one for each output");
    require(map.element_type() == maxima.element_type() && map.element_type() == bias.element_type(),
            "the maps of a bias differ");
    require(bias.dimensions().size() == 1 && bias.dimensions()[0] == channels, "a bias has one value a channel");
  }

  // The taps of the first window of a row of windows.
  template <typename T>
  Window<T> row(T* map, int64_t at) const {
    T* const top = map + (at / out_rows * rows + 2 * (at % out_rows)) * columns * channels;
    T* const bottom = top + columns * channels;
    return {top, top + channels, bottom, bottom + channels};
  }

  // Calls `body(taps, place of the window's output)` for the windows of a part's rows.
  template <typename T, typename Body>
  void of_part(int64_t part, T* map, const Body& body) const {
    const int64_t count = batch * out_rows;
    for (int64_t at = count * part / kParts; at < count * (part + 1) / kParts; ++at) {
      Window<T> taps = row(map, at);
      for (int64_t column = 0, step = 2 * channels; column < out_columns; ++column) {
        body(taps, (at * out_columns + column) * channels);
        taps = {taps.first + step, taps.second + step, taps.third + step, taps.fourth + step};
      }
    }
  }

  bool many_cores() const { return batch * rows * columns * channels >= kWorthManyCores; }
};

template <typename Body>
ffi::Error for_type_of(const Buffer& map, const Body& body) {
  return guarded([&] {
    if (map.element_type() == ffi::F32) return body(float{});
    require(map.element_type() == ffi::BF16, "the map is float32 or bfloat16");
    body(bfloat16{});
  });
}

ffi::Error bias_relu_pool(ffi::ThreadPool threads, Buffer x, Buffer bias, Result y, Result winner) {
  return for_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Halving of(x, *y, *winner, bias);
    const auto *from = static_cast<const T*>(x.untyped_data()), *values = static_cast<const T*>(bias.untyped_data());
    auto* const to = static_cast<T*>(y->untyped_data());
    auto* const winners = static_cast<uint8_t*>(winner->untyped_data());
    std::vector<float> wide(of.channels);
    for (int64_t i = 0; i < of.channels; ++i) wide[i] = widen(values[i]);
    const auto pool = have_avx512() ? pool_vectors<T> : pool_any<T>;
    for_each_part(threads, kParts, of.many_cores(), [&](int64_t part) {
      of.of_part(part, from, [&](const Window<const T>& taps, int64_t at) {
        pool(taps, wide.data(), of.channels, to + at, winners + at);
      });
    });
  });
}

ffi::Error bias_relu_pool_backward(ffi::ThreadPool threads, Buffer y, Buffer winner, Buffer dy, Result dx,
                                   Result dbias) {
  return for_type_of(y, [&](auto zero) {
    using T = decltype(zero);
    const Halving of(*dx, y, winner, *dbias);
    require(same(y.dimensions(), dy.dimensions()) && dy.element_type() == y.element_type(), "the maps of a bias differ");
    const auto *maxima = static_cast<const T*>(y.untyped_data()), *from = static_cast<const T*>(dy.untyped_data());
    const auto* const winners = static_cast<const uint8_t*>(winner.untyped_data());
    auto *const to = static_cast<T*>(dx->untyped_data()), *const total = static_cast<T*>(dbias->untyped_data());
    if (of.rows % 2 || of.columns % 2) std::fill(to, to + dx->element_count(), T{});
    const int64_t stride = (of.channels + 15) / 16 * 16;  // whole vectors
    std::vector<float> sums(kParts * stride, 0.f);
    const auto spread = have_avx512() ? spread_vectors<T> : spread_any<T>;
    for_each_part(threads, kParts, of.many_cores(), [&](int64_t part) {
      of.of_part(part, to, [&](const Window<T>& taps, int64_t at) {
        spread(maxima + at, winners + at, from + at, of.channels, taps, &sums[part * stride]);
      });
    });
    for (int64_t c = 0; c < of.channels; ++c) {
      double sum = 0;
      for (int64_t part = 0; part < kParts; ++part) sum += sums[part * stride + c];
      narrow(static_cast<float>(sum), total + c);
    }
  });
}

}  // namespace
}  // namespace jaxcnn

namespace ffi = xla::ffi;

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_relu_pool(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_relu_pool, jaxcnn::bias_relu_pool,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_relu_pool_backward(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_relu_pool_backward, jaxcnn::bias_relu_pool_backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
