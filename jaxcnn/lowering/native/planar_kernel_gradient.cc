// The kernel gradient of a convolution of few channels to few: 16 neighbouring positions are the lanes of a vector.
//
// dW[i, j, c, k] = sum over images and positions of x[h + i - low, w + j - low, c] * dy[h, w, k]. Each image's x and dy
// are laid out as planes, one a channel; a row of taps times some outputs is kept in registers over all rows of an
// image. Lanes, images of a part, and parts are summed in that order.

#include "planes.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 16, kMostColumns = 7, kMostAtOnce = 4, kPlanesFloats = 1 << 15;

// Planes of x under the first tap, and of the outputs; whole tiles of 16 columns in a row, the last one `last` lanes.
struct Rows {
  const float *x, *dy;
  int64_t x_down, dy_down, dy_plane, rows, tiles;
  __mmask16 last;
};

// Adds one image to the sums [output][column of the kernel][lane].
template <int kColumns, int kOutputs>
JAXCNN_AVX512 void add_image(const Rows& at, float* sums) {
  __m512 total[kOutputs][kColumns];
#pragma GCC unroll 4
  for (int k = 0; k < kOutputs; ++k)
#pragma GCC unroll 7
    for (int j = 0; j < kColumns; ++j) total[k][j] = _mm512_load_ps(sums + 16 * (k * kColumns + j));
  for (int64_t row = 0; row < at.rows; ++row)
    for (int64_t tile = 0; tile < at.tiles; ++tile) {
      const __mmask16 some = tile + 1 < at.tiles ? 0xffff : at.last;
      const float *x = at.x + row * at.x_down + 16 * tile, *dy = at.dy + row * at.dy_down + 16 * tile;
      __m512 seen[kColumns];
#pragma GCC unroll 7
      for (int j = 0; j < kColumns; ++j) seen[j] = load16(x + j, some);
#pragma GCC unroll 4
      for (int k = 0; k < kOutputs; ++k) {
        const __m512 value = _mm512_load_ps(dy + k * at.dy_plane);
#pragma GCC unroll 7
        for (int j = 0; j < kColumns; ++j) total[k][j] = _mm512_fmadd_ps(value, seen[j], total[k][j]);
      }
    }
#pragma GCC unroll 4
  for (int k = 0; k < kOutputs; ++k)
#pragma GCC unroll 7
    for (int j = 0; j < kColumns; ++j) _mm512_store_ps(sums + 16 * (k * kColumns + j), total[k][j]);
}

using Add = decltype(&add_image<1, 1>);

template <int kColumns>
Add of_columns(int64_t outputs) {
  static constexpr Add all[kMostAtOnce] = {add_image<kColumns, 1>, add_image<kColumns, 2>, add_image<kColumns, 3>,
                                           add_image<kColumns, (kColumns < 6 ? 4 : 3)>};
  return all[outputs - 1];
}

Add choose(int64_t columns, int64_t outputs) {
  static constexpr decltype(&of_columns<1>) all[kMostColumns] = {of_columns<1>, of_columns<2>, of_columns<3>, of_columns<4>,
                                                                 of_columns<5>, of_columns<6>, of_columns<7>};
  return all[columns - 1](outputs);
}

template <typename T, int kChannels>
JAXCNN_AVX512 void part_rows(const Planes& planes, const T* dy, int64_t rows, int64_t columns, int64_t step, float* to) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < step; column += 16) {
      __m512 channels[kChannels];
      planes.part<kChannels>(dy + (row * columns + column) * kChannels, std::min<int64_t>(16, columns - column), channels);
      for (int k = 0; k < kChannels; ++k) _mm512_store_ps(to + (k * rows + row) * step + column, channels[k]);
    }
}

template <typename T>
constexpr decltype(&part_rows<T, 1>) kPartRows[kMostPlanes] = {
    part_rows<T, 1>, part_rows<T, 2>, part_rows<T, 3>, part_rows<T, 4>,
    part_rows<T, 5>, part_rows<T, 6>, part_rows<T, 7>, part_rows<T, 8>};

class PlanarKernelGradient : public Direct {
 public:
  explicit PlanarKernelGradient(const DirectShape& s) : s_(s), planes_(s.out_channels) {
    seen_rows_ = s.out_rows + s.kernel_rows - 1;
    dy_step_ = (s.out_columns + 15) / 16 * 16;
    x_step_ = (std::max(dy_step_ + s.kernel_columns - 1, s.low_columns) + 15) / 16 * 16;
    const int64_t most = s.kernel_columns < 6 ? kMostAtOnce : 3, groups = (s.out_channels + most - 1) / most;
    at_once_ = (s.out_channels + groups - 1) / groups;
    sums_ = s.kernel_rows * s.in_channels * s.out_channels * s.kernel_columns * 16;
  }

  int64_t x_floats() const { return s_.in_channels * seen_rows_ * x_step_; }
  int64_t dy_floats() const { return s_.out_channels * s_.out_rows * dy_step_; }
  int64_t floats() const { return x_floats() + dy_floats() + sums_; }

  void run(ffi::ThreadPool& threads, const void* x, const void* dy, void* out) const override {
    if (s_.half)
      return run_as(threads, static_cast<const bfloat16*>(x), static_cast<const bfloat16*>(dy), static_cast<bfloat16*>(out));
    run_as(threads, static_cast<const float*>(x), static_cast<const float*>(dy), static_cast<float*>(out));
  }

 private:
  template <typename T>
  void run_as(ffi::ThreadPool& threads, const T* x, const T* dy, T* out) const {
    const int64_t count = std::min(kParts, s_.batch), image = s_.rows * s_.columns * s_.in_channels;
    const int64_t result = s_.out_rows * s_.out_columns * s_.out_channels;
    const Scratch scratch(count, floats());
    for_each_part(threads, count, s_.work() >= kWorthManyCores * 16, [&](int64_t part) {
      float *const sums = scratch.of(part), *const x_planes = sums + sums_, *const dy_planes = x_planes + x_floats();
      std::fill(sums, sums + sums_, 0.f);
      for (int64_t n = s_.batch * part / count; n < s_.batch * (part + 1) / count; ++n) {
        lay(x + n * image, x_planes);
        kPartRows<T>[s_.out_channels - 1](planes_, dy + n * result, s_.out_rows, s_.out_columns, dy_step_, dy_planes);
        add(x_planes, dy_planes, sums);
      }
    });
    // sums[row of the kernel][channel][output][column of the kernel][lane] of each part
    const int64_t columns = s_.kernel_columns, outputs = s_.out_channels, channels = s_.in_channels;
    for (int64_t at = 0; at < sums_ / 16; ++at) {
      double sum = 0;
      for (int64_t part = 0; part < count; ++part)
        for (int64_t lane = 0; lane < 16; ++lane) sum += scratch.of(part)[16 * at + lane];
      const int64_t j = at % columns, k = at / columns % outputs, c = at / columns / outputs % channels;
      const int64_t i = at / columns / outputs / channels;
      narrow(static_cast<float>(sum),
             out + i * s_.weight_rows + j * s_.weight_columns + c * s_.weight_in + k * s_.weight_out);
    }
  }

  template <typename T>
  JAXCNN_AVX512 void lay(const T* image, float* planes) const {
    lay_planes(s_, image, seen_rows_, x_step_, planes);
  }

  void add(const float* x, const float* dy, float* sums) const {
    const int64_t tiles = dy_step_ / 16, dy_plane = s_.out_rows * dy_step_;
    const __mmask16 last = first_lanes(s_.out_columns - 16 * (tiles - 1));
    for (int64_t i = 0; i < s_.kernel_rows; ++i)
      for (int64_t c = 0; c < s_.in_channels; ++c)
        for (int64_t k = 0; k < s_.out_channels; k += at_once_) {
          const int64_t outputs = std::min(at_once_, s_.out_channels - k);
          choose(s_.kernel_columns, outputs)(
              {x + (c * seen_rows_ + i) * x_step_, dy + k * dy_plane, x_step_, dy_step_, dy_plane, s_.out_rows, tiles, last},
              sums);
          sums += outputs * s_.kernel_columns * 16;
        }
  }

  DirectShape s_;
  Planes planes_;
  int64_t seen_rows_, x_step_, dy_step_, at_once_, sums_;
};

}  // namespace

std::unique_ptr<Direct> planar_kernel_gradient(const DirectShape& s) {
  if (!have_avx512() || s.in_channels > 2 || s.out_channels > kMostPlanes || s.kernel_columns > kMostColumns ||
      s.out_columns < 8)
    return nullptr;
  auto ours = std::make_unique<PlanarKernelGradient>(s);
  return ours->floats() <= kPlanesFloats ? std::move(ours) : nullptr;
}

}  // namespace jaxcnn
