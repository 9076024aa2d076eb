// Convolutions of few channels without matrices: AVX-512, XLA's threads, no lock. What their kernels share.
//
// Two spatial axes, channels last, stride 1. Arrays are float32 or bfloat16; sums are float32, in an order that depends
// on the shapes alone.
#pragma once

#include <cstdlib>

#include "vectors.h"

namespace jaxcnn {

struct DirectShape {
  int64_t batch, rows, columns, in_channels, out_rows, out_columns, out_channels;
  int64_t kernel_rows, kernel_columns, low_rows, low_columns;           // low: padding before
  int64_t weight_out, weight_in, weight_rows, weight_columns;           // strides of the weights, in elements
  bool half;                                                            // bfloat16

  int64_t work() const {
    return batch * out_rows * out_columns * out_channels * in_channels * kernel_rows * kernel_columns;
  }
};

// A convolution, or a gradient of one. `left` and `right` are the map and the weights; of a kernel gradient the map and
// the gradient of the output. Every member is set by the constructor: any number of threads may call `run`.
class Direct {
 public:
  virtual ~Direct() = default;
  virtual void run(ffi::ThreadPool& threads, const void* left, const void* right, void* out) const = 0;
};

// Memory of `count` float32 for each part, aligned to a line of the cache; not cleared.
class Scratch {
 public:
  Scratch(int64_t parts, int64_t count) : stride_((count + 15) / 16 * 16) {
    const size_t bytes = static_cast<size_t>(std::max<int64_t>(parts * stride_, 16)) * sizeof(float);
    memory_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (!memory_) throw std::bad_alloc();
  }

  float* of(int64_t part) const { return memory_.get() + part * stride_; }

 private:
  int64_t stride_;
  std::unique_ptr<float, decltype(&std::free)> memory_{nullptr, &std::free};
};

// Reads `count` elements as float32.
template <typename T>
JAXCNN_AVX512_INLINE void read(const T* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += 16) store16(to + i, load16(from + i, first_lanes(count - i)), first_lanes(count - i));
}

// An image as float32 rows (column, channel) of all that windows see, zeros beyond the border: as it lies, or laid out.
class LaidMap {
 public:
  explicit LaidMap(const DirectShape& s) : s_(s), rows_(s.out_rows + s.kernel_rows - 1) {
    const int64_t columns = s.out_columns + s.kernel_columns - 1;
    in_place_ = s.low_rows == 0 && s.low_columns == 0 && rows_ <= s.rows && columns <= s.columns;
    down_ = (in_place_ ? s.columns : columns) * s.in_channels;
  }

  int64_t down() const { return down_; }
  int64_t floats() const { return in_place_ ? 0 : rows_ * down_; }

  const float* lay(const float* image, float* to) const {
    if (in_place_) return image;
    std::fill(to, to + floats(), 0.f);
    const int64_t begin = std::min(s_.low_columns * s_.in_channels, down_), width = s_.columns * s_.in_channels;
    for (int64_t row = 0; row < rows_; ++row)
      if (const int64_t at = row - s_.low_rows; at >= 0 && at < s_.rows)
        std::copy_n(image + at * width, std::min(width, down_ - begin), to + row * down_ + begin);
    return to;
  }

 private:
  DirectShape s_;
  int64_t rows_, down_;
  bool in_place_;
};

// Each returns its kernel, or null where it does not fit, or oneDNN's is as fast. A depthwise convolution has as many
// groups as channels, and one filter for each.
std::unique_ptr<Direct> depthwise_forward(const DirectShape& shape);
std::unique_ptr<Direct> scattered_forward(const DirectShape& shape);
std::unique_ptr<Direct> planar_forward(const DirectShape& shape);
std::unique_ptr<Direct> broadcast_forward(const DirectShape& shape);
std::unique_ptr<Direct> broadcast_kernel_gradient(const DirectShape& shape);
std::unique_ptr<Direct> planar_kernel_gradient(const DirectShape& shape);

}  // namespace jaxcnn
