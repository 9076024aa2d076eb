// Max pools of a channels-last map in training, and their gradient.
//
// The pool also tells which tap of each window won, in one byte, so that its gradient reads neither
// the map nor the maxima. NaN wins; of equal values the first in reading order wins; padding never does.

#include "pool_geometry.h"
#include "pool_halves.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 32;

// A tap of one window: where it is, and which it is.
template <typename T>
struct Tap {
  const T* at;
  int32_t index;
};

// Takes four taps into account for all channels of one window; the first four begin it. One tap given twice wins once.
template <bool begin, typename T>
INLINE void take_four(const Tap<T>* taps, int64_t channels, T* __restrict y, uint8_t* __restrict winner) {
  const T *__restrict a = taps[0].at, *__restrict b = taps[1].at, *__restrict c = taps[2].at,
          *__restrict d = taps[3].at;
  const int32_t ia = taps[0].index, ib = taps[1].index, ic = taps[2].index, id = taps[3].index;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    float best = widen(a[i]);
    int32_t index = ia, most = rank(best);
    if (!begin) {
      const float before = widen(y[i]);
      const int32_t rank_before = rank(before);
      best = most > rank_before ? best : before;
      index = most > rank_before ? index : static_cast<int32_t>(winner[i]);
      most = most > rank_before ? most : rank_before;
    }
    const float second = widen(b[i]), third = widen(c[i]), fourth = widen(d[i]);
    const int32_t rb = rank(second), rc = rank(third), rd = rank(fourth);
    index = rb > most ? ib : index;
    best = rb > most ? second : best;
    most = rb > most ? rb : most;
    index = rc > most ? ic : index;
    best = rc > most ? third : best;
    most = rc > most ? rc : most;
    index = rd > most ? id : index;
    best = rd > most ? fourth : best;
    narrow(best, y + i);
    winner[i] = static_cast<uint8_t>(index);
  }
}

template <typename T>
INLINE void take_taps(const Tap<T>* taps, int64_t fours, int64_t channels, T* y, uint8_t* winner) {
  take_four<true>(taps, channels, y, winner);
  for (int64_t four = 1; four < fours; ++four) {
    take_four<false>(taps + 4 * four, channels, y, winner);
  }
}

// Where one tap of a window is on the gradient of the map.
template <typename T>
struct Target {
  T* at;
  uint8_t index;
};

// Writes the gradient of one window to four taps: all of it to the winner.
template <typename T>
INLINE void put_four(const T* __restrict y, const uint8_t* __restrict winner, int64_t channels,
                     const Target<T>* targets) {
  T *__restrict a = targets[0].at, *__restrict b = targets[1].at, *__restrict c = targets[2].at,
    *__restrict d = targets[3].at;
  const uint8_t ia = targets[0].index, ib = targets[1].index, ic = targets[2].index, id = targets[3].index;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const T value = y[i];
    a[i] = winner[i] == ia ? value : T{};
    b[i] = winner[i] == ib ? value : T{};
    c[i] = winner[i] == ic ? value : T{};
    d[i] = winner[i] == id ? value : T{};
  }
}

// One window that sees a position, as its tap `index`.
template <typename T>
struct Source {
  const T* value;
  const uint8_t* winner;
  uint8_t index;
};

template <typename T>
INLINE void add_sources(const Source<T>* sources, int64_t count, int64_t channels, float* __restrict sum,
                        T* __restrict x) {
  std::fill(sum, sum + channels, 0.f);
  for (int64_t source = 0; source < count; ++source) {
    const T* __restrict value = sources[source].value;
    const uint8_t* __restrict winner = sources[source].winner;
    const uint8_t index = sources[source].index;
#pragma GCC ivdep
    for (int64_t i = 0; i < channels; ++i) sum[i] += winner[i] == index ? widen(value[i]) : 0.f;
  }
  for (int64_t i = 0; i < channels; ++i) narrow(sum[i], x + i);
}

#define FOR_TYPE(T)                                                                                                \
  VERSIONS void pool(const Tap<T>* taps, int64_t fours, int64_t channels, T* y, uint8_t* winner) {                 \
    take_taps(taps, fours, channels, y, winner);                                                                   \
  }                                                                                                                \
  VERSIONS void put(const T* y, const uint8_t* winner, int64_t channels, const Target<T>* targets, int64_t fours) { \
    for (int64_t four = 0; four < fours; ++four) put_four(y, winner, channels, targets + 4 * four);                 \
  }                                                                                                                \
  VERSIONS void add(const Source<T>* sources, int64_t count, int64_t channels, float* sum, T* x) {                 \
    add_sources(sources, count, channels, sum, x);                                                                 \
  }                                                                                                                \
  VERSIONS void pool_row(const Halves& halves, int64_t channels, const T* top, const T* bottom, T* y,              \
                         uint8_t* winner) {                                                                        \
    pool_halves(halves, channels, top, bottom, y, winner);                                                         \
  }                                                                                                                \
  VERSIONS void put_row(const Halves& halves, const T* y, const uint8_t* winner, int32_t* wide, T* top, T* bottom) { \
    std::copy(winner, winner + halves.tap.size(), wide);                                                           \
    put_halves(halves, y, wide, top, bottom);                                                                      \
  }
FOR_TYPE(float)
FOR_TYPE(bfloat16)
#undef FOR_TYPE

bool many_cores(const Buffer& map) { return static_cast<int64_t>(map.element_count()) >= kWorthManyCores; }

// A row of a part's: its image, and where it is there.
struct Row {
  int64_t image, d, h;

  Row(int64_t row, int64_t depth, int64_t height)
      : image(row / (depth * height)), d(row / height % depth), h(row % height) {}
};

constexpr int64_t kFewChannels = 32;  // fewer leave vectors unfilled in a loop over one window

bool by_rows(const Pool& of) { return of.channels < kFewChannels && of.is_halving(); }

template <typename T>
void run_halves(ffi::ThreadPool& threads, const Pool& of, bool many, const T* x, T* y, uint8_t* winner) {
  const int64_t height = of.axes[1].outputs, rows = of.batch * height, count = std::min(rows, kParts);
  const int64_t x_row = of.axes[2].size * of.channels, y_row = of.axes[2].outputs * of.channels;
  const Halves halves(of.axes[2].outputs, of.channels);
  for_each_part(threads, count, many, [&](int64_t part) {
    for (int64_t row = rows * part / count; row < rows * (part + 1) / count; ++row) {
      const T* const top = x + (row / height * of.axes[1].size + 2 * (row % height)) * x_row;
      pool_row(halves, of.channels, top, top + x_row, y + row * y_row, winner + row * y_row);
    }
  });
}

template <typename T>
void scatter_halves(ffi::ThreadPool& threads, const Pool& of, bool many, const uint8_t* winner, const T* y, T* x) {
  const int64_t height = of.axes[1].outputs, count = std::min(of.batch, kParts);
  const int64_t x_row = of.axes[2].size * of.channels, y_row = of.axes[2].outputs * of.channels;
  const Halves halves(of.axes[2].outputs, of.channels);
  const bool covering = of.is_covering();
  std::vector<int32_t> wide(count * y_row);
  for_each_part(threads, count, many, [&](int64_t part) {
    for (int64_t image = of.batch * part / count; image < of.batch * (part + 1) / count; ++image) {
      T* const to = x + image * of.pixels() * of.channels;
      if (!covering) std::fill(to, to + of.pixels() * of.channels, T{});
      for (int64_t h = 0; h < height; ++h) {
        const int64_t from = (image * height + h) * y_row;
        put_row(halves, y + from, winner + from, &wide[part * y_row], to + 2 * h * x_row, to + (2 * h + 1) * x_row);
      }
    }
  });
}

template <typename T>
void run_pool(ffi::ThreadPool& threads, const Pool& of, bool many, const T* x, T* y, uint8_t* winner) {
  const int64_t depth = of.axes[0].outputs, height = of.axes[1].outputs, width = of.axes[2].outputs;
  const int64_t rows = of.batch * depth * height, channels = of.channels, count = std::min(rows, kParts);
  std::vector<Tap<T>> scratch(count * (kMostTaps + 3));
  for_each_part(threads, count, many, [&](int64_t part) {
    Tap<T>* const taps = &scratch[part * (kMostTaps + 3)];
    for (int64_t row = rows * part / count; row < rows * (part + 1) / count; ++row) {
      const Row at(row, depth, height);
      const T* const image = x + at.image * of.pixels() * channels;
      for (int64_t w = 0; w < width; ++w) {
        int64_t found = 0;
        of.for_each_tap(at.d, at.h, w, [&](int64_t pixel, uint8_t tap) {
          taps[found++] = {image + pixel * channels, tap};
        });
        while (found % 4) taps[found] = taps[found - 1], ++found;
        const int64_t to = (row * width + w) * channels;
        pool(taps, found / 4, channels, y + to, winner + to);
      }
    }
  });
}

// The gradient where no two windows overlap: each window writes its taps, of whole images, since what no window sees
// is zero.
template <typename T>
void scatter_windows(ffi::ThreadPool& threads, const Pool& of, bool many, const uint8_t* winner, const T* y, T* x) {
  const int64_t depth = of.axes[0].outputs, height = of.axes[1].outputs, width = of.axes[2].outputs;
  const int64_t channels = of.channels, count = std::min(of.batch, kParts);
  const bool covering = of.is_covering();
  std::vector<Target<T>> scratch(count * (kMostTaps + 3));
  std::vector<T> nowhere(count * channels);
  for_each_part(threads, count, many, [&](int64_t part) {
    Target<T>* const targets = &scratch[part * (kMostTaps + 3)];
    const int64_t first = of.batch * part / count, end = of.batch * (part + 1) / count;
    for (int64_t row = first * depth * height; row < end * depth * height; ++row) {
      const Row at(row, depth, height);
      T* const image = x + at.image * of.pixels() * channels;
      if (!covering && at.d == 0 && at.h == 0) std::fill(image, image + of.pixels() * channels, T{});
      for (int64_t w = 0; w < width; ++w) {
        int64_t found = 0;
        of.for_each_tap(at.d, at.h, w, [&](int64_t pixel, uint8_t tap) {
          targets[found++] = {image + pixel * channels, tap};
        });
        while (found % 4) targets[found++] = {&nowhere[part * channels], 0};
        const int64_t from = (row * width + w) * channels;
        put(y + from, winner + from, channels, targets, found / 4);
      }
    }
  });
}

// The gradient where windows overlap: each position adds up the windows that see it.
template <typename T>
void gather_windows(ffi::ThreadPool& threads, const Pool& of, bool many, const uint8_t* winner, const T* y, T* x) {
  const int64_t depth = of.axes[0].size, height = of.axes[1].size, width = of.axes[2].size;
  const int64_t rows = of.batch * depth * height, channels = of.channels, count = std::min(rows, kParts);
  std::vector<Source<T>> scratch(count * kMostTaps);
  std::vector<float> sums(count * channels);
  for_each_part(threads, count, many, [&](int64_t part) {
    Source<T>* const sources = &scratch[part * kMostTaps];
    for (int64_t row = rows * part / count; row < rows * (part + 1) / count; ++row) {
      const Row at(row, depth, height);
      for (int64_t w = 0; w < width; ++w) {
        int64_t found = 0;
        of.for_each_window(at.d, at.h, w, [&](int64_t output, uint8_t tap) {
          const int64_t from = (at.image * of.outputs() + output) * channels;
          sources[found++] = {y + from, winner + from, tap};
        });
        add(sources, found, channels, &sums[part * channels], x + (row * width + w) * channels);
      }
    }
  });
}

// Calls `body` with a value of the type of the map's elements, which is also the output's.
template <typename Body>
ffi::Error for_type_of(const Buffer& map, const Buffer& output, const Body& body) {
  return guarded([&] {
    require(map.element_count() > 0 && output.element_count() > 0, "an empty map has no maxima");
    require(map.element_type() == output.element_type(), "the maps of a pool differ in type");
    if (map.element_type() == ffi::F32) return body(float{});
    require(map.element_type() == ffi::BF16, "the map is float32 or bfloat16");
    body(bfloat16{});
  });
}

uint8_t* winners_of(const Buffer& winner, const Buffer& output) {
  require(winner.element_type() == ffi::U8 && same(winner.dimensions(), output.dimensions()),
          "winners are bytes, one for each output");
  return static_cast<uint8_t*>(winner.untyped_data());
}

ffi::Error max_pool_winners(ffi::ThreadPool threads, Buffer x, Result y, Result winner, Numbers window,
                            Numbers strides, Numbers dilation, Numbers low) {
  return for_type_of(x, *y, [&](auto zero) {
    using T = decltype(zero);
    const Pool of(x, *y, window, strides, dilation, low);
    const auto run = by_rows(of) ? run_halves<T> : run_pool<T>;
    run(threads, of, many_cores(x), static_cast<const T*>(x.untyped_data()), static_cast<T*>(y->untyped_data()),
        winners_of(*winner, *y));
  });
}

ffi::Error pool_scatter(ffi::ThreadPool threads, Buffer winner, Buffer y, Result x, Numbers window, Numbers strides,
                        Numbers dilation, Numbers low) {
  return for_type_of(*x, y, [&](auto zero) {
    using T = decltype(zero);
    const Pool of(*x, y, window, strides, dilation, low);
    const auto run = by_rows(of) ? scatter_halves<T> : of.is_disjoint() ? scatter_windows<T> : gather_windows<T>;
    run(threads, of, many_cores(*x), winners_of(winner, y), static_cast<const T*>(y.untyped_data()),
        static_cast<T*>(x->untyped_data()));
  });
}

}  // namespace
}  // namespace jaxcnn

namespace ffi = xla::ffi;
using jaxcnn::Numbers;

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_max_pool_winners(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_max_pool_winners, jaxcnn::max_pool_winners,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<Numbers>("window")
                                  .Attr<Numbers>("strides")
                                  .Attr<Numbers>("dilation")
                                  .Attr<Numbers>("low"));

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_pool_scatter(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_pool_scatter, jaxcnn::pool_scatter,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<Numbers>("window")
                                  .Attr<Numbers>("strides")
                                  .Attr<Numbers>("dilation")
                                  .Attr<Numbers>("low"));
