// A max pool of 2x2 windows side by side, a row of them at a time, and its gradient.
#pragma once

#include "loops.h"

namespace jaxcnn {

// An integer that is larger for a larger value, the same for both zeros, and the largest for NaN: what compares
// integers alone is vectorised.
INLINE int32_t rank(float value) {
  int32_t bits;
  const float positive_zero = value + 0.f;
  std::memcpy(&bits, &positive_zero, sizeof bits);
  const int32_t ordered = bits ^ ((bits >> 31) & 0x7fffffff);
  return value != value ? 0x7fffffff : ordered;
}

// A row of 2x2 windows side by side: where each output's first tap is in a row of the map, each position's output, and
// the column of its window. With few channels a loop over one window would leave the processor's vectors empty.
struct Halves {
  std::vector<int32_t> tap, output, column;

  Halves(int64_t windows, int64_t channels) : tap(windows * channels), output(2 * tap.size()), column(2 * tap.size()) {
    for (size_t at = 0; at < tap.size(); ++at) tap[at] = static_cast<int32_t>(at + at / channels * channels);
    for (size_t at = 0; at < output.size(); ++at) {
      output[at] = static_cast<int32_t>(at / (2 * channels) * channels + at % channels);
      column[at] = at / channels % 2;
    }
  }
};

template <typename T>
INLINE void pool_halves(const Halves& halves, int64_t channels, const T* __restrict top, const T* __restrict bottom,
                        T* __restrict y, uint8_t* __restrict winner) {
  const int32_t* __restrict tap = halves.tap.data();
  const int64_t count = halves.tap.size();
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const int32_t at = tap[i];
    const float a = widen(top[at]), b = widen(top[at + channels]);
    const float c = widen(bottom[at]), d = widen(bottom[at + channels]);
    const int32_t ra = rank(a), rb = rank(b), rc = rank(c), rd = rank(d);
    const bool second = rb > ra, fourth = rd > rc;
    const int32_t upper = second ? rb : ra, lower = fourth ? rd : rc;
    const float most_upper = second ? b : a, most_lower = fourth ? d : c;
    const int32_t index_upper = second ? 1 : 0, index_lower = fourth ? 3 : 2;
    narrow(lower > upper ? most_lower : most_upper, y + i);
    winner[i] = static_cast<uint8_t>(lower > upper ? index_lower : index_upper);
  }
}

template <typename T>
INLINE void put_halves(const Halves& halves, const T* __restrict y, const int32_t* __restrict winner, T* __restrict top,
                       T* __restrict bottom) {
  const int32_t *__restrict output = halves.output.data(), *__restrict column = halves.column.data();
  const int64_t count = halves.output.size();
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const T value = y[output[i]];
    const int32_t won = winner[output[i]];
    top[i] = won == column[i] ? value : T{};
    bottom[i] = won == column[i] + 2 ? value : T{};
  }
}

}  // namespace jaxcnn
