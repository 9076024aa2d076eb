// A convolution of few channels to few: 16 neighbouring positions are the lanes of a vector.
//
// Each image is laid out as planes, one a channel, its border zeros; a plane of the result is then a sum of shifted rows,
// each times one weight, which 32 positions share. Every output sums its products in one order, wherever it stands.

#include "planes.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 32, kMostInputs = 7, kPlanesFloats = 1 << 15;

// The shifted rows of the planes that one row of the result sees, and the weights[channel][row][column][output].
struct Taps {
  const float *x, *weights;
  int64_t channels, rows, columns, plane, down;
};

// Writes `count` positions (at most 32) of a row of the result.
template <typename T, int kOutputs>
JAXCNN_AVX512 void add_taps(const Taps& taps, const Planes& planes, int64_t count, T* out) {
  __m512 left[kOutputs], right[kOutputs];
  for (int k = 0; k < kOutputs; ++k) left[k] = right[k] = _mm512_setzero_ps();
  const float* weights = taps.weights;
  for (int64_t c = 0; c < taps.channels; ++c)
    for (int64_t i = 0; i < taps.rows; ++i) {
      const float* from = taps.x + c * taps.plane + i * taps.down;
      for (int64_t j = 0; j < taps.columns; ++j, ++from, weights += kOutputs) {
        const __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + 16);
#pragma GCC unroll 8
        for (int k = 0; k < kOutputs; ++k) {
          const __m512 weight = _mm512_set1_ps(weights[k]);
          left[k] = _mm512_fmadd_ps(a, weight, left[k]);
          right[k] = _mm512_fmadd_ps(b, weight, right[k]);
        }
      }
    }
  for (int64_t half = 0; 16 * half < count; ++half) {
    const __m512* const sums = half ? right : left;
    const int64_t some = std::min<int64_t>(16, count - 16 * half);
    if constexpr (sizeof(T) == 2 && kOutputs % 2 == 0)
      Planes::join_pairs<kOutputs>(planes, sums, some, out + 16 * half * kOutputs);
    else
      planes.join<kOutputs>(sums, some, out + 16 * half * kOutputs);
  }
}

template <typename T>
constexpr decltype(&add_taps<T, 1>) kAdd[kMostPlanes] = {add_taps<T, 1>, add_taps<T, 2>, add_taps<T, 3>, add_taps<T, 4>,
                                                         add_taps<T, 5>, add_taps<T, 6>, add_taps<T, 7>, add_taps<T, 8>};

class PlanarForward : public Direct {
 public:
  explicit PlanarForward(const DirectShape& s) : s_(s), planes_(s.half && s.out_channels % 2 == 0 ? s.out_channels / 2 : s.out_channels) {
    seen_rows_ = s.out_rows + s.kernel_rows - 1;
    step_ = ((s.out_columns + 31) / 32 * 32 + s.kernel_columns - 1 + 15) / 16 * 16;
    step_ = std::max(step_, (std::max<int64_t>(s.low_columns, 0) + 15) / 16 * 16 + 16);
  }

  int64_t floats() const { return s_.in_channels * seen_rows_ * step_; }

  void run(ffi::ThreadPool& threads, const void* x, const void* weights, void* out) const override {
    if (s_.half)
      return run_as(threads, static_cast<const bfloat16*>(x), static_cast<const bfloat16*>(weights),
                    static_cast<bfloat16*>(out));
    run_as(threads, static_cast<const float*>(x), static_cast<const float*>(weights), static_cast<float*>(out));
  }

 private:
  template <typename T>
  void run_as(ffi::ThreadPool& threads, const T* x, const T* weights, T* out) const {
    const int64_t count = std::min(kParts, s_.batch), image = s_.rows * s_.columns * s_.in_channels;
    const int64_t result = s_.out_rows * s_.out_columns * s_.out_channels;
    const Scratch packed(1, s_.out_channels * s_.in_channels * s_.kernel_rows * s_.kernel_columns);
    const Scratch scratch(count, floats());
    pack(weights, packed.of(0));
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      for (int64_t n = s_.batch * part / count; n < s_.batch * (part + 1) / count; ++n)
        convolve(x + n * image, packed.of(0), scratch.of(part), out + n * result);
    });
  }

  template <typename T>
  void pack(const T* weights, float* to) const {
    for (int64_t c = 0; c < s_.in_channels; ++c)
      for (int64_t i = 0; i < s_.kernel_rows; ++i)
        for (int64_t j = 0; j < s_.kernel_columns; ++j)
          for (int64_t k = 0; k < s_.out_channels; ++k)
            *to++ = widen(weights[c * s_.weight_in + i * s_.weight_rows + j * s_.weight_columns + k * s_.weight_out]);
  }

  template <typename T>
  JAXCNN_AVX512 void convolve(const T* image, const float* weights, float* planes, T* out) const {
    lay_planes(s_, image, seen_rows_, step_, planes);
    Taps taps{planes, weights, s_.in_channels, s_.kernel_rows, s_.kernel_columns, seen_rows_ * step_, step_};
    for (int64_t row = 0; row < s_.out_rows; ++row)
      for (int64_t column = 0; column < s_.out_columns; column += 32) {
        taps.x = planes + row * step_ + column;
        kAdd<T>[s_.out_channels - 1](taps, planes_, std::min<int64_t>(32, s_.out_columns - column), out);
        out += std::min<int64_t>(32, s_.out_columns - column) * s_.out_channels;
      }
  }

  DirectShape s_;
  Planes planes_;
  int64_t seen_rows_, step_;
};

}  // namespace

std::unique_ptr<Direct> planar_forward(const DirectShape& s) {
  if (!have_avx512() || s.in_channels > kMostInputs || s.out_channels > kMostPlanes || s.out_columns < 8) return nullptr;
  auto ours = std::make_unique<PlanarForward>(s);
  return ours->floats() <= kPlanesFloats ? std::move(ours) : nullptr;
}

}  // namespace jaxcnn
