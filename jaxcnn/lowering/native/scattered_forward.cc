// A convolution of many channels to few: out[h, w, k] = sum of x[h + i - low, w + j - low, c] * weights[i, j, c, k].
//
// Few outputs would leave vectors empty. But what one position of x adds to a row of the result, for all columns of the
// kernel, are neighbours in memory: (kernel_columns * outputs) numbers. So each position computes its part of the rows
// that see it in registers, and adds them to a canvas of the image, whose borders are left out at the end. Two images
// go together, to read weights once for both, and to keep their sums apart. Every output sums its products in one order,
// wherever it stands.

#include "direct.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 32, kMostVectors = 3, kMostRows = 5, kCanvasFloats = 1 << 15;

// Adds what position `x` (a pointer for each of two images) adds to kRows rows of both canvases.
template <int kVectors, int kRows>
JAXCNN_AVX512 void add_position(const float* const x[2], const float* weights, int64_t channels, __mmask16 last,
                                float* const canvas[2], int64_t down) {
  __m512 sums[2][kRows][kVectors];
  for (int image = 0; image < 2; ++image)
    for (int row = 0; row < kRows; ++row)
      for (int v = 0; v < kVectors; ++v) sums[image][row][v] = _mm512_setzero_ps();
  for (int64_t c = 0; c < channels; ++c) {
    const __m512 first = _mm512_set1_ps(x[0][c]), second = _mm512_set1_ps(x[1][c]);
#pragma GCC unroll 5
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        const __m512 weight = _mm512_load_ps(weights);
        weights += 16;
        sums[0][row][v] = _mm512_fmadd_ps(first, weight, sums[0][row][v]);
        sums[1][row][v] = _mm512_fmadd_ps(second, weight, sums[1][row][v]);
      }
  }
  for (int image = 0; image < 2; ++image)
    for (int row = 0; row < kRows; ++row)
      for (int v = 0; v < kVectors; ++v) {
        float* const to = canvas[image] + row * down + 16 * v;
        const __mmask16 some = v + 1 < kVectors ? 0xffff : last;
        store16(to, _mm512_add_ps(load16(to, some), sums[image][row][v]), some);
      }
}

using Add = void (*)(const float* const[2], const float*, int64_t, __mmask16, float* const[2], int64_t);

Add choose(int64_t vectors, int64_t rows) {
  static constexpr Add all[kMostVectors][kMostRows] = {
      {add_position<1, 1>, add_position<1, 2>, add_position<1, 3>, add_position<1, 4>, add_position<1, 5>},
      {add_position<2, 1>, add_position<2, 2>, add_position<2, 3>, add_position<2, 4>, add_position<2, 5>},
      {add_position<3, 1>, add_position<3, 2>, add_position<3, 3>, add_position<3, 4>, nullptr}};
  return all[vectors - 1][rows - 1];
}

class ScatteredForward : public Direct {
 public:
  explicit ScatteredForward(const DirectShape& s) : s_(s) {
    across_ = s.kernel_columns * s.out_channels, vectors_ = (across_ + 15) / 16;
    together_ = std::min<int64_t>(s.kernel_rows, vectors_ == 3 ? 4 : kMostRows);
    down_ = (s.columns + s.kernel_columns - 1) * s.out_channels;
    canvas_ = (s.rows + s.kernel_rows - 1) * down_;
    last_ = first_lanes(across_ - 16 * (vectors_ - 1));
  }

  int64_t vectors() const { return vectors_; }
  int64_t canvas() const { return canvas_; }

  void run(ffi::ThreadPool& threads, const void* x, const void* weights, void* out) const override {
    run_as(threads, static_cast<const float*>(x), static_cast<const float*>(weights), static_cast<float*>(out));
  }

 private:
  void run_as(ffi::ThreadPool& threads, const float* x, const float* weights, float* out) const {
    const int64_t count = std::min(kParts, (s_.batch + 1) / 2), image = s_.rows * s_.columns * s_.in_channels;
    const Scratch packed(1, s_.kernel_rows * s_.in_channels * vectors_ * 16), scratch(count, 2 * canvas_);
    pack(weights, packed.of(0));
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      const int64_t pairs = (s_.batch + 1) / 2;
      float* const canvas[2] = {scratch.of(part), scratch.of(part) + canvas_};
      for (int64_t pair = pairs * part / count; pair < pairs * (part + 1) / count; ++pair) {
        const int64_t first = 2 * pair, second = std::min(first + 1, s_.batch - 1);
        std::fill(canvas[0], canvas[0] + 2 * canvas_, 0.f);
        paint(x + first * image, x + second * image, packed.of(0), canvas);
        crop(canvas[0], out + first * s_.out_rows * s_.out_columns * s_.out_channels);
        if (second > first) crop(canvas[1], out + second * s_.out_rows * s_.out_columns * s_.out_channels);
      }
    });
  }

  // packed[rows together][channel][row][kernel column * outputs]: the kernel turned around, zeros after each row.
  void pack(const float* weights, float* to) const {
    for (int64_t begin = 0; begin < s_.kernel_rows; begin += together_)
      for (int64_t c = 0; c < s_.in_channels; ++c)
        for (int64_t row = begin; row < std::min(begin + together_, s_.kernel_rows); ++row)
          for (int64_t lane = 0; lane < 16 * vectors_; ++lane) {
            const int64_t i = s_.kernel_rows - 1 - row, j = s_.kernel_columns - 1 - lane / s_.out_channels;
            const int64_t at = i * s_.weight_rows + j * s_.weight_columns + c * s_.weight_in +
                               lane % s_.out_channels * s_.weight_out;
            *to++ = lane < across_ ? weights[at] : 0.f;
          }
  }

  void paint(const float* first, const float* second, const float* weights, float* const canvas[2]) const {
    for (int64_t begin = 0; begin < s_.kernel_rows; begin += together_) {
      const int64_t rows = std::min(together_, s_.kernel_rows - begin);
      const Add add = choose(vectors_, rows);
      for (int64_t row = 0; row < s_.rows; ++row)
        for (int64_t column = 0; column < s_.columns; ++column) {
          const int64_t from = (row * s_.columns + column) * s_.in_channels;
          const int64_t to = (row + begin) * down_ + column * s_.out_channels;
          const float* const x[2] = {first + from, second + from};
          float* const places[2] = {canvas[0] + to, canvas[1] + to};
          add(x, weights, s_.in_channels, last_, places, down_);
        }
      weights += rows * s_.in_channels * vectors_ * 16;
    }
  }

  // Copies the result out of a canvas; what no position of x reaches is zero.
  void crop(const float* canvas, float* out) const {
    const int64_t right = s_.kernel_columns - 1 - s_.low_columns, below = s_.kernel_rows - 1 - s_.low_rows;
    const int64_t begin = std::clamp<int64_t>(-right, 0, s_.out_columns), k = s_.out_channels;
    const int64_t end = std::clamp<int64_t>(s_.columns + s_.kernel_columns - 1 - right, begin, s_.out_columns);
    for (int64_t row = 0; row < s_.out_rows; ++row, out += s_.out_columns * k) {
      const int64_t from = row + below;
      if (from < 0 || from >= s_.rows + s_.kernel_rows - 1) {
        std::fill(out, out + s_.out_columns * k, 0.f);
        continue;
      }
      std::fill(out, out + begin * k, 0.f);
      std::copy_n(canvas + from * down_ + (begin + right) * k, (end - begin) * k, out + begin * k);
      std::fill(out + end * k, out + s_.out_columns * k, 0.f);
    }
  }

  DirectShape s_;
  int64_t across_, vectors_, together_, down_, canvas_;
  __mmask16 last_;
};

}  // namespace

std::unique_ptr<Direct> scattered_forward(const DirectShape& s) {
  const int64_t across = s.out_channels * s.kernel_columns;
  if (!have_avx512() || s.half || s.in_channels < 8 || s.out_channels >= 16 || across > 16 * kMostVectors) return nullptr;
  auto ours = std::make_unique<ScatteredForward>(s);
  return ours->canvas() <= kCanvasFloats ? std::move(ours) : nullptr;
}

}  // namespace jaxcnn
