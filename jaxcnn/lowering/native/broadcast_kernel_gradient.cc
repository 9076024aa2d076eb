// The kernel gradient of a convolution of few channels to a multiple of 16: outputs are the lanes of a vector.
//
// dW[i, j, c, k] = sum over images and positions of x[h + i - low, w + j - low, c] * dy[h, w, k]. What a window sees in
// one row are neighbours in memory, kernel_columns * channels of them. Up to 30 such numbers are multiplied, one after
// another, with a vector of dy, and each has its sum in a register over all positions of an image.

#include "direct.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 16, kMost = 30, kLaidFloats = 1 << 15;

// Rows of x as laid out, and dy: elements from a position to the next, and from a row to the next.
struct Rows {
  const float *x, *dy;
  int64_t rows, columns, x_step, x_down, dy_step;
};

// Adds one image to the sums [kCount][lane] of 16 outputs.
template <int kCount>
JAXCNN_AVX512 void add_image(const Rows& at, float* sums) {
  __m512 total[kCount];
#pragma GCC unroll 30
  for (int i = 0; i < kCount; ++i) total[i] = _mm512_load_ps(sums + 16 * i);
  const float* dy = at.dy;
  for (int64_t row = 0; row < at.rows; ++row) {
    const float* x = at.x + row * at.x_down;
    for (int64_t column = 0; column < at.columns; ++column, x += at.x_step, dy += at.dy_step) {
      const __m512 value = load16(dy, 0xffff);
#pragma GCC unroll 30
      for (int i = 0; i < kCount; ++i) total[i] = _mm512_fmadd_ps(value, _mm512_set1_ps(x[i]), total[i]);
    }
  }
#pragma GCC unroll 30
  for (int i = 0; i < kCount; ++i) _mm512_store_ps(sums + 16 * i, total[i]);
}

using Add = void (*)(const Rows&, float*);

template <size_t... kCounts>
Add choose(int64_t count, std::index_sequence<kCounts...>) {
  static constexpr Add all[] = {add_image<static_cast<int>(kCounts) + 1>...};
  return all[count - 1];
}

class BroadcastKernelGradient : public Direct {
 public:
  explicit BroadcastKernelGradient(const DirectShape& s) : s_(s), map_(s) {
    const int64_t seen = s.kernel_columns * s.in_channels, chunks = (seen + kMost - 1) / kMost;
    at_once_ = (seen + chunks - 1) / chunks;
    sums_ = s.kernel_rows * seen * s.out_channels;
  }

  int64_t laid_floats() const { return map_.floats(); }
  int64_t sums() const { return sums_; }

  void run(ffi::ThreadPool& threads, const void* x, const void* dy, void* out) const override {
    run_as(threads, static_cast<const float*>(x), static_cast<const float*>(dy), static_cast<float*>(out));
  }

 private:
  void run_as(ffi::ThreadPool& threads, const float* x, const float* dy, float* out) const {
    const int64_t count = std::min(kParts, s_.batch), image = s_.rows * s_.columns * s_.in_channels;
    const int64_t result = s_.out_rows * s_.out_columns * s_.out_channels;
    const Scratch scratch(count, sums_), laid(count, laid_floats());
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      std::fill(scratch.of(part), scratch.of(part) + sums_, 0.f);
      for (int64_t n = s_.batch * part / count; n < s_.batch * (part + 1) / count; ++n)
        add(map_.lay(x + n * image, laid.of(part)), dy + n * result, scratch.of(part));
    });
    collect(scratch, count, out);
  }

  // Calls `body(row of the kernel, offset of the first number, numbers)` in the order of the sums.
  template <typename Body>
  void for_each_block(const Body& body) const {
    for (int64_t row = 0; row < s_.kernel_rows; ++row)
      for (int64_t begin = 0, end = s_.kernel_columns * s_.in_channels; begin < end; begin += at_once_)
        body(row, begin, std::min(at_once_, end - begin));
  }

  void add(const float* x, const float* dy, float* sums) const {
    for (int64_t k = 0; k < s_.out_channels; k += 16)
      for_each_block([&](int64_t row, int64_t begin, int64_t numbers) {
        choose(numbers, std::make_index_sequence<kMost>())(
            {x + row * map_.down() + begin, dy + k, s_.out_rows, s_.out_columns, s_.in_channels, map_.down(),
             s_.out_channels},
            sums);
        sums += 16 * numbers;
      });
  }

  void collect(const Scratch& scratch, int64_t count, float* out) const {
    int64_t next = 0;
    for (int64_t block = 0; block < s_.out_channels; block += 16)
      for_each_block([&](int64_t row, int64_t begin, int64_t numbers) {
        for (int64_t at = begin; at < begin + numbers; ++at)
          for (int64_t lane = 0; lane < 16; ++lane, ++next) {
            const int64_t j = at / s_.in_channels, c = at % s_.in_channels;
            double sum = 0;
            for (int64_t part = 0; part < count; ++part) sum += scratch.of(part)[next];
            out[row * s_.weight_rows + j * s_.weight_columns + c * s_.weight_in + (block + lane) * s_.weight_out] =
                static_cast<float>(sum);
          }
      });
  }

  DirectShape s_;
  LaidMap map_;
  int64_t at_once_, sums_;
};

}  // namespace

std::unique_ptr<Direct> broadcast_kernel_gradient(const DirectShape& s) {
  const bool few = s.in_channels <= 12 && s.kernel_columns * s.in_channels >= 16;  // else oneDNN's is as fast
  if (!have_avx512() || s.half || !few || s.out_channels % 16) return nullptr;
  auto ours = std::make_unique<BroadcastKernelGradient>(s);
  return ours->laid_floats() + ours->sums() <= kLaidFloats ? std::move(ours) : nullptr;
}

}  // namespace jaxcnn
