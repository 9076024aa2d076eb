// Batch normalisation's loops over rows of channels.
#pragma once

#include "gelu.h"
#include "loops.h"

namespace jaxcnn {

// What follows the normalisation in the same pass.
enum class Activation : int32_t { kNone, kRelu, kGelu };

// One number a channel for each step of the formulas: y = (x - mean - error) factor + offset, and in the gradient
// dx = factor dy + (x - mean - error) slope + shift.
struct Coefficients {
  Activation activation;
  const float *mean, *error, *factor, *offset, *slope, *shift;
};

// Adds to `sums` what a block of rows has: first its mean, then what is left about that mean, and its squares.
template <typename T>
INLINE void block_statistics(const T* __restrict x, int64_t rows, int64_t channels, float* __restrict mean,
                             float* __restrict rest, float* __restrict squares) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {  // four at a time: each sum is loaded and stored once for all of them
    const T *__restrict a = x + row * channels, *__restrict b = a + channels, *__restrict c = b + channels,
            *__restrict d = c + channels;
    for (int64_t i = 0; i < channels; ++i) mean[i] += (widen(a[i]) + widen(b[i])) + (widen(c[i]) + widen(d[i]));
  }
  for (; row < rows; ++row) {
    for (int64_t i = 0; i < channels; ++i) mean[i] += widen(x[row * channels + i]);
  }
  const float share = 1.f / static_cast<float>(rows);
  for (int64_t i = 0; i < channels; ++i) mean[i] *= share;
  for (row = 0; row + 4 <= rows; row += 4) {
    const T *__restrict a = x + row * channels, *__restrict b = a + channels, *__restrict c = b + channels,
            *__restrict d = c + channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float p = widen(a[i]) - mean[i], q = widen(b[i]) - mean[i], r = widen(c[i]) - mean[i],
                  s = widen(d[i]) - mean[i];
      rest[i] += (p + q) + (r + s);
      squares[i] += (p * p + q * q) + (r * r + s * s);
    }
  }
  for (; row < rows; ++row) {
    for (int64_t i = 0; i < channels; ++i) {
      const float p = widen(x[row * channels + i]) - mean[i];
      rest[i] += p;
      squares[i] += p * p;
    }
  }
}

// Joins n rows (mean, and the sum of squares about it) to those of `before` rows.
INLINE void join(double before, double n, double mean, double moment, double* __restrict to_mean,
                 double* __restrict to_moment) {
  const double delta = mean - *to_mean, share = n / (before + n);
  *to_mean += delta * share;
  *to_moment += moment + delta * delta * before * share;
}

// Joins a block of rows to the statistics of those before it; `scratch` holds three numbers a channel.
template <typename T>
INLINE void join_block(const T* x, int64_t before, int64_t rows, int64_t channels, float* scratch, double* mean,
                       double* moment) {
  std::fill(scratch, scratch + 3 * channels, 0.f);
  const float *__restrict first = scratch, *__restrict rest = first + channels, *__restrict squares = rest + channels;
  block_statistics(x, rows, channels, scratch, scratch + channels, scratch + 2 * channels);
  const double n = static_cast<double>(rows), inverse = 1 / n;
  for (int64_t i = 0; i < channels; ++i) {
    const double error = rest[i] * inverse;
    join(static_cast<double>(before), n, first[i] + error, squares[i] - error * rest[i], mean + i, moment + i);
  }
}

template <Activation activation, typename T>
INLINE void normalize_rows(const T* __restrict x, int64_t rows, int64_t channels, const Coefficients& k,
                           T* __restrict y) {
  const float *__restrict mean = k.mean, *__restrict error = k.error, *__restrict factor = k.factor,
              *__restrict offset = k.offset;
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float value = ((widen(x[i]) - mean[i]) - error[i]) * factor[i] + offset[i];
      if constexpr (activation == Activation::kGelu) {
        narrow(gelu(value), y + i);
      } else {
        narrow(activation == Activation::kRelu && value < 0 ? 0.f : value, y + i);
      }
    }
  }
}

// The gradient that arrives at the normalised value: none where the ReLU is shut.
template <bool relu>
INLINE float through(float centred, float factor, float offset, float dy) {
  return relu && !(centred * factor + offset > 0) ? 0.f : dy;
}

template <bool relu, typename T>
INLINE void sum_gradients(const T* __restrict x, const T* __restrict dy, int64_t rows, int64_t channels,
                          const Coefficients& k, float* __restrict total, float* __restrict moment) {
  const float *__restrict mean = k.mean, *__restrict error = k.error, *__restrict factor = k.factor,
              *__restrict offset = k.offset;
  int64_t row = 0;
  for (; row + 2 <= rows; row += 2, x += 2 * channels, dy += 2 * channels) {
    const T *__restrict below = x + channels, *__restrict dy_below = dy + channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float a = (widen(x[i]) - mean[i]) - error[i], b = (widen(below[i]) - mean[i]) - error[i];
      const float g = through<relu>(a, factor[i], offset[i], widen(dy[i]));
      const float h = through<relu>(b, factor[i], offset[i], widen(dy_below[i]));
      total[i] += g + h;
      moment[i] += g * a + h * b;
    }
  }
  for (int64_t i = 0; row < rows && i < channels; ++i) {
    const float a = (widen(x[i]) - mean[i]) - error[i];
    const float g = through<relu>(a, factor[i], offset[i], widen(dy[i]));
    total[i] += g;
    moment[i] += g * a;
  }
}

// Adds a block of rows to the sums of the gradient and of its product with the centred map.
template <bool relu, typename T>
INLINE void add_block(const T* x, const T* dy, int64_t rows, int64_t channels, const Coefficients& k, float* scratch,
                      double* __restrict totals, double* __restrict moments) {
  std::fill(scratch, scratch + 2 * channels, 0.f);
  sum_gradients<relu>(x, dy, rows, channels, k, scratch, scratch + channels);
  const float *__restrict total = scratch, *__restrict moment = scratch + channels;
  for (int64_t i = 0; i < channels; ++i) {
    totals[i] += total[i];
    moments[i] += moment[i];
  }
}

template <bool relu, typename T>
INLINE void differentiate_rows(const T* __restrict x, const T* __restrict dy, int64_t rows, int64_t channels,
                               const Coefficients& k, T* __restrict dx) {
  const float *__restrict mean = k.mean, *__restrict error = k.error, *__restrict factor = k.factor,
              *__restrict offset = k.offset, *__restrict slope = k.slope, *__restrict shift = k.shift;
  for (int64_t row = 0; row < rows; ++row, x += channels, dy += channels, dx += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float centred = (widen(x[i]) - mean[i]) - error[i];
      const float g = through<relu>(centred, factor[i], offset[i], widen(dy[i]));
      narrow(factor[i] * g + (centred * slope[i] + shift[i]), dx + i);
    }
  }
}

// As `add_block` after a GELU; the gradient behind it, which takes some time to compute, is kept in `dx`.
template <typename T>
INLINE void add_gelu_block(const T* __restrict x, const T* __restrict dy, int64_t rows, int64_t channels,
                           const Coefficients& k, float* __restrict scratch, double* __restrict totals,
                           double* __restrict moments, T* __restrict dx) {
  const float *__restrict mean = k.mean, *__restrict error = k.error, *__restrict factor = k.factor,
              *__restrict offset = k.offset;
  std::fill(scratch, scratch + 2 * channels, 0.f);
  float *__restrict total = scratch, *__restrict moment = scratch + channels;
  for (int64_t row = 0; row < rows; ++row, x += channels, dy += channels, dx += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float centred = (widen(x[i]) - mean[i]) - error[i];
      const float g = gelu_slope(centred * factor[i] + offset[i]) * widen(dy[i]);
      narrow(g, dx + i);
      total[i] += g;
      moment[i] += g * centred;
    }
  }
  for (int64_t i = 0; i < channels; ++i) {
    totals[i] += total[i];
    moments[i] += moment[i];
  }
}

// From the gradient behind the GELU, in `dx`, that of the map.
template <typename T>
INLINE void differentiate_in_place(const T* __restrict x, int64_t rows, int64_t channels, const Coefficients& k,
                                   T* __restrict dx) {
  const float *__restrict mean = k.mean, *__restrict error = k.error, *__restrict factor = k.factor,
              *__restrict slope = k.slope, *__restrict shift = k.shift;
  for (int64_t row = 0; row < rows; ++row, x += channels, dx += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float centred = (widen(x[i]) - mean[i]) - error[i];
      narrow(factor[i] * widen(dx[i]) + (centred * slope[i] + shift[i]), dx + i);
    }
  }
}

}  // namespace jaxcnn
