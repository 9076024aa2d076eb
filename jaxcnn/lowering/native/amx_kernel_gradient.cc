// The kernel gradient of a convolution of stride 1, on AMX.
//
// dW[kh, kw, c, k] = sum over images and positions (h, w) of x[h + kh, w + kw, c] * dy[h, w, k].
//
// A tap's gradient is a product of matrices whose long axis runs over positions. Its left factor is x by channels,
// x[kw][c][position], already moved by kw columns; its right factor is dy by pairs of positions, dy[position / 2][k][2].
// So many images stand side by side that a row of them is a whole number of tiles: a move by kh rows then keeps tiles
// aligned, and no product is wasted on borders. Sums are float32, in an order that depends on the shapes alone: the same
// arrays give the same bits with any number of threads. float32 arrays run as three bfloat16 each (amx_forward.cc).
//
// oneDNN 3.2's own bfloat16 kernel gradient takes two to five times as long as its forward convolution.

#include "amx_kernel_gradient.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "amx.h"

namespace jaxcnn {
namespace {

// What is computed at a time: so many positions that reading and writing the sums costs little, and so many channels of
// dy that they stay in the second-level cache while x streams by.
constexpr int64_t kPositions = 2048, kColumnsTogether = 128;

// 16 channels of a place as 32-bit lanes of bfloat16, in one piece or three; zeros beyond the border.
JAXCNN_AVX512 inline bool take(const uint16_t* place, int64_t channel, __m512i pieces[3]) {
  pieces[0] = place ? widen(place + channel) : _mm512_setzero_si512();
  return false;
}

JAXCNN_AVX512 inline bool take(const float* place, int64_t channel, __m512i pieces[3]) {
  return split(place ? _mm512_loadu_ps(place + channel) : _mm512_setzero_ps(), pieces);
}

// Writes rows[channel block][.][piece][channel][position]: `length` positions, whole tiles in a row of the view.
template <typename T>
JAXCNN_AVX512 bool lay_rows(const Canvas<T>& canvas, int64_t seen, int64_t length, uint16_t* rows, int64_t block_stride) {
  constexpr int kPieces = sizeof(T) == 2 ? 1 : 3;
  const T* places[kDepth];
  bool odd = false;
  canvas.walk(seen, [&](const T* place, int64_t at) JAXCNN_AVX512 {
    places[at % kDepth] = place;
    if (at % kDepth != kDepth - 1) return;
    for (int64_t c = 0; c < canvas.channels; c += kTile) {
      __m512i block[kPieces][16];
      for (int i = 0; i < 16; ++i) {
        __m512i first[3], second[3];
        odd |= take(places[2 * i], c, first);
        odd |= take(places[2 * i + 1], c, second);
        for (int piece = 0; piece < kPieces; ++piece) block[piece][i] = interleave(first[piece], second[piece]);
      }
      uint16_t* to = rows + c / kTile * block_stride + at - (kDepth - 1);
      for (int piece = 0; piece < kPieces; ++piece, to += kTile * length) {
        transpose(block[piece]);
        for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * length, block[piece][i]);
      }
    }
  });
  return odd;
}

// Writes pairs[channel block][.][piece][position / 2][channel][2].
template <typename T>
JAXCNN_AVX512 bool lay_pairs(const Canvas<T>& canvas, int64_t seen, int64_t length, uint16_t* pairs, int64_t block_stride) {
  constexpr int kPieces = sizeof(T) == 2 ? 1 : 3;
  const T* before = nullptr;
  bool odd = false;
  canvas.walk(seen, [&](const T* place, int64_t at) JAXCNN_AVX512 {
    if (at % 2 == 0) {
      before = place;
      return;
    }
    for (int64_t k = 0; k < canvas.channels; k += kTile) {
      __m512i first[3], second[3];
      odd |= take(before, k, first);
      odd |= take(place, k, second);
      for (int piece = 0; piece < kPieces; ++piece)
        _mm512_store_si512(pairs + k / kTile * block_stride + piece * kTile * length + (at - 1) * kTile,
                           interleave(first[piece], second[piece]));
    }
  });
  return odd;
}

// Both factors of the products, as they lie: strides between strips, channel blocks and rows, in elements; tiles in a
// row of a strip (`across`) and in all of dy's strip; strides between sums of two rows of taps, and of two channels.
struct Factors {
  int64_t strips, x_strip, x_row, dy_strip, dy_block, across, dy_steps, sums_tap, sums_row;
};

// Adds the product of 16 channels of x, one column of taps, and 16 (or 32) channels of dy: kRows tiles of sums one under
// another. A tile of x serves every tap of the column, a tile of dy likewise while it is in the first-level cache.
template <bool kSingle, int kRows, int kColumns>
JAXCNN_AMX void multiply(const Factors& f, const uint16_t* x, const uint16_t* dy, float* sums, bool first) {
#define EACH_SUM(DO)                          \
  DO(0, 0, 0);                                \
  if (kColumns > 1) DO(1, 0, 1);              \
  if (kRows > 1) DO(2, 1, 0);                 \
  if (kRows > 1 && kColumns > 1) DO(3, 1, 1); \
  if (kRows > 2) DO(4, 2, 0);                 \
  if (kRows > 2 && kColumns > 1) DO(5, 2, 1)
#define PLACE(row, column) (sums + row * f.sums_tap + column * kTile)
#define CLEAR(tile, row, column) _tile_zero(tile)
#define LOAD(tile, row, column) _tile_loadd(tile, PLACE(row, column), f.sums_row * 4)
#define STORE(tile, row, column) _tile_stored(tile, PLACE(row, column), f.sums_row * 4)
#define MULTIPLY(tile, row, column)                                                           \
  if (at >= row * f.across && at < f.dy_steps + row * f.across) {                             \
    _tile_loadd(7, right + (at - row * f.across) * kDepth * kTile + column * f.dy_block, 64); \
    _tile_dpbf16ps(tile, 6, 7);                                                               \
  }
  if (first) {
    EACH_SUM(CLEAR);
  } else {
    EACH_SUM(LOAD);
  }
  for (int64_t strip = 0; strip < f.strips; ++strip)
    for (int64_t at = 0; at < f.dy_steps + (kRows - 1) * f.across; ++at)
      for (int pair = kSingle ? 0 : 5; pair < 6; ++pair) {
        const uint16_t* left = x + strip * f.x_strip + kPairs[pair][0] * kTile * f.x_row;
        const uint16_t* right = dy + strip * f.dy_strip + kPairs[pair][1] * kTile * kDepth * f.dy_steps;
        _tile_loadd(6, left + at * kDepth, f.x_row * 2);
        EACH_SUM(MULTIPLY);
      }
  EACH_SUM(STORE);
#undef EACH_SUM
#undef PLACE
#undef CLEAR
#undef LOAD
#undef STORE
#undef MULTIPLY
}

using Multiply = void (*)(const Factors&, const uint16_t*, const uint16_t*, float*, bool);

template <bool kSingle>
Multiply choose(int64_t rows, bool two_columns) {
  if (rows == 3) return two_columns ? multiply<kSingle, 3, 2> : multiply<kSingle, 3, 1>;
  if (rows == 2) return two_columns ? multiply<kSingle, 2, 2> : multiply<kSingle, 2, 1>;
  return two_columns ? multiply<kSingle, 1, 2> : multiply<kSingle, 1, 1>;
}

}  // namespace

bool have_amx() {
  static const bool have = [] {
    constexpr long kRequest = 0x1023, kTileData = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    __builtin_cpu_init();
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
    const bool amx = (d >> 22 & 1) && (d >> 24 & 1);  // AMX-BF16, AMX-TILE
    return amx && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  }();
  return have;
}

KernelGradient::KernelGradient(const KernelGradientShape& s) : shape(s) {
  pieces = s.single ? 3 : 1;
  side_by_side = kDepth / std::gcd(s.out_columns, kDepth);
  const int64_t width = side_by_side * s.out_columns;
  x_length = (s.out_rows + s.kernel_rows - 1) * width;
  dy_length = s.out_rows * width;
  strips = (s.batch + side_by_side - 1) / side_by_side;
  at_once = std::clamp<int64_t>(kPositions / dy_length, 1, strips);
  x_bytes = 2 * at_once * pieces * s.kernel_columns * s.in_channels * x_length;
  dy_bytes = 2 * at_once * pieces * s.out_channels * dy_length;
}

int64_t KernelGradient::sums_count() const {
  return shape.kernel_rows * shape.kernel_columns * shape.in_channels * shape.out_channels;
}

bool KernelGradient::run(const void* x, const void* dy, float* sums, char* scratch) const {
  const KernelGradientShape& s = shape;
  uint16_t* const rows = reinterpret_cast<uint16_t*>(scratch);
  uint16_t* const pairs = reinterpret_cast<uint16_t*>(scratch + x_bytes);
  const int64_t x_strip = pieces * kTile * x_length, x_block = at_once * x_strip;
  const int64_t dy_strip = pieces * kTile * dy_length, dy_block = at_once * dy_strip;
  const int64_t x_move = s.in_channels / kTile * x_block, across = side_by_side * s.out_columns / kDepth;
  const int64_t parts = s.kernel_columns + 1, columns_together = kColumnsTogether / (s.single ? 2 : 1);
  std::atomic<bool> odd{false};
#pragma omp parallel
  {
    bool mine = false;
    configure_tiles();
    for (int64_t begin = 0; begin < strips; begin += at_once) {
      const int64_t count = std::min(at_once, strips - begin);
      const Factors factors{count, x_strip, x_length, dy_strip, dy_block, across, dy_length / kDepth,
                            s.kernel_columns * s.in_channels * s.out_channels, s.out_channels};
#pragma omp for schedule(static)
      for (int64_t task = 0; task < parts * count; ++task) {
        const int64_t strip = task / parts, move = task % parts, image = (begin + strip) * side_by_side;
        auto lay = [&](auto* xs, auto* dys) {
          xs += image * s.rows * s.columns * s.in_channels;
          dys += image * s.out_rows * s.out_columns * s.out_channels;
          using T = std::remove_const_t<std::remove_pointer_t<decltype(xs)>>;
          if (move < s.kernel_columns)
            return lay_rows<T>({xs, s.batch - image, s.rows, s.columns, s.in_channels, side_by_side, s.out_columns, 1,
                                -s.low_rows, move - s.low_columns},
                               s.out_rows + s.kernel_rows - 1, x_length, rows + move * x_move + strip * x_strip, x_block);
          return lay_pairs<T>({dys, s.batch - image, s.out_rows, s.out_columns, s.out_channels, side_by_side,
                               s.out_columns, 1, 0, 0},
                              s.out_rows, dy_length, pairs + strip * dy_strip, dy_block);
        };
        mine |= s.single ? lay(static_cast<const float*>(x), static_cast<const float*>(dy))
                         : lay(static_cast<const uint16_t*>(x), static_cast<const uint16_t*>(dy));
      }
#pragma omp for collapse(2) schedule(static)
      for (int64_t group = 0; group < s.out_channels; group += columns_together)
        for (int64_t c = 0; c < s.in_channels; c += kTile) {
          const int64_t end = std::min(group + columns_together, s.out_channels);
          for (int64_t k = group; k < end; k += 2 * kTile)
            for (int64_t kw = 0; kw < s.kernel_columns; ++kw)
              for (int64_t kh = 0; kh < s.kernel_rows; kh += 3) {
                const int64_t together = std::min<int64_t>(3, s.kernel_rows - kh);
                const bool two = k + 2 * kTile <= end;
                const Multiply product = s.single ? choose<true>(together, two) : choose<false>(together, two);
                product(factors, rows + kw * x_move + c / kTile * x_block + kh * across * kDepth,
                        pairs + k / kTile * dy_block,
                        sums + ((kh * s.kernel_columns + kw) * s.in_channels + c) * s.out_channels + k, begin == 0);
              }
        }
    }
    release_tiles();
    if (mine) odd = true;
  }
  return !odd;
}

JAXCNN_AVX512 void round_to_bfloat16(const float* from, uint16_t* to, int64_t count) {
  const uint32_t* bits = reinterpret_cast<const uint32_t*>(from);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t value = bits[i], rounded = value + 0x7fff + (value >> 16 & 1);
    to[i] = static_cast<uint16_t>((value & 0x7fffffff) > 0x7f800000 ? value >> 16 | 0x40 : rounded >> 16);
  }
}

}  // namespace jaxcnn
