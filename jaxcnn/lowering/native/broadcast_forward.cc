// A convolution of few channels to a multiple of 16: outputs are the lanes of a vector.
//
// out[h, w, k] = sum of x[h + i - low, w + j - low, c] * weights[i, j, c, k]. Up to 12 neighbouring positions have their
// sums in registers, and share each vector of weights. Every output sums its products in one order, wherever it stands.

#include "direct.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 32, kMost = 12, kLaidFloats = 1 << 15;

// What a position sees in one row are `seen` neighbours in memory; weights[row][.][lane].
struct Taps {
  const float *x, *weights;
  int64_t rows, down, seen, step;
};

// Writes 16 outputs of kCount positions, each `step` elements after the last.
template <int kCount>
JAXCNN_AVX512 void add_taps(const Taps& taps, int64_t step, float* out) {
  __m512 sums[kCount];
#pragma GCC unroll 12
  for (int at = 0; at < kCount; ++at) sums[at] = _mm512_setzero_ps();
  const float* weights = taps.weights;
  for (int64_t row = 0; row < taps.rows; ++row) {
    const float* x = taps.x + row * taps.down;
    for (int64_t i = 0; i < taps.seen; ++i, ++x, weights += 16) {
      const __m512 weight = _mm512_load_ps(weights);
#pragma GCC unroll 12
      for (int at = 0; at < kCount; ++at) sums[at] = _mm512_fmadd_ps(weight, _mm512_set1_ps(x[at * taps.step]), sums[at]);
    }
  }
#pragma GCC unroll 12
  for (int at = 0; at < kCount; ++at) store16(out + at * step, sums[at], 0xffff);
}

template <size_t... kCounts>
auto choose(int64_t count, std::index_sequence<kCounts...>) {
  static constexpr decltype(&add_taps<1>) all[] = {add_taps<static_cast<int>(kCounts) + 1>...};
  return all[count - 1];
}

class BroadcastForward : public Direct {
 public:
  explicit BroadcastForward(const DirectShape& s) : s_(s), map_(s), seen_(s.kernel_columns * s.in_channels) {
    const int64_t groups = (s.out_columns + kMost - 1) / kMost;
    at_once_ = (s.out_columns + groups - 1) / groups;
  }

  int64_t laid_floats() const { return map_.floats(); }

  void run(ffi::ThreadPool& threads, const void* x, const void* weights, void* out) const override {
    run_as(threads, static_cast<const float*>(x), static_cast<const float*>(weights), static_cast<float*>(out));
  }

 private:
  void run_as(ffi::ThreadPool& threads, const float* x, const float* weights, float* out) const {
    const int64_t count = std::min(kParts, s_.batch), image = s_.rows * s_.columns * s_.in_channels;
    const int64_t result = s_.out_rows * s_.out_columns * s_.out_channels;
    const Scratch packed(1, s_.kernel_rows * seen_ * s_.out_channels), laid(count, laid_floats());
    pack(weights, packed.of(0));
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      for (int64_t n = s_.batch * part / count; n < s_.batch * (part + 1) / count; ++n)
        convolve(map_.lay(x + n * image, laid.of(part)), packed.of(0), out + n * result);
    });
  }

  // packed[16 outputs][row][column][channel][output]
  void pack(const float* weights, float* to) const {
    for (int64_t block = 0; block < s_.out_channels; block += 16)
      for (int64_t i = 0; i < s_.kernel_rows; ++i)
        for (int64_t j = 0; j < s_.kernel_columns; ++j)
          for (int64_t c = 0; c < s_.in_channels; ++c)
            for (int64_t k = block; k < block + 16; ++k)
              *to++ = weights[i * s_.weight_rows + j * s_.weight_columns + c * s_.weight_in + k * s_.weight_out];
  }

  void convolve(const float* x, const float* weights, float* out) const {
    for (int64_t row = 0; row < s_.out_rows; ++row)
      for (int64_t column = 0; column < s_.out_columns; column += at_once_) {
        const auto add = choose(std::min(at_once_, s_.out_columns - column), std::make_index_sequence<kMost>());
        float* const to = out + (row * s_.out_columns + column) * s_.out_channels;
        for (int64_t block = 0; block < s_.out_channels; block += 16)
          add({x + row * map_.down() + column * s_.in_channels, weights + block * s_.kernel_rows * seen_, s_.kernel_rows,
               map_.down(), seen_, s_.in_channels},
              s_.out_channels, to + block);
      }
  }

  DirectShape s_;
  LaidMap map_;
  int64_t seen_, at_once_;
};

}  // namespace

std::unique_ptr<Direct> broadcast_forward(const DirectShape& s) {
  const bool few = s.in_channels <= 12 && s.kernel_columns * s.in_channels >= 16;  // else oneDNN's is as fast
  if (!have_avx512() || s.half || !few || s.out_channels % 16) return nullptr;
  auto ours = std::make_unique<BroadcastForward>(s);
  return ours->laid_floats() <= kLaidFloats ? std::move(ours) : nullptr;
}

}  // namespace jaxcnn
