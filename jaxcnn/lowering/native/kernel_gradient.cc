// The kernel gradient of a bfloat16 convolution of stride 1, on AMX.
//
// dW[kh, kw, c, k] = sum over images and positions (h, w) of x[h + kh, w + kw, c] * dy[h, w, k].
//
// A tap's gradient is a product of matrices whose long axis runs over positions. Its left factor is x by channels,
// x[kw][c][position], already moved by kw columns; its right factor is dy by pairs of positions, dy[position / 2][k][2].
// So many images stand side by side that a row of them is a whole number of tiles: a move by kh rows then keeps tiles
// aligned, and no product is wasted on borders. Sums are float32, in an order that depends on the shapes alone: the same
// arrays give the same bits with any number of threads.
//
// oneDNN 3.2's own kernel gradient takes two to five times as long as its forward convolution.

#include "kernel_gradient.h"

// GCC 12 takes the intrinsics' own undefined values for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace {

constexpr int64_t kTile = 16;   // rows of a tile, and columns of float32
constexpr int64_t kDepth = 32;  // bfloat16 in a row of a tile
// What is computed at a time: so many positions that reading and writing the sums costs little, and so many channels of
// dy that they stay in the second-level cache while x streams by.
constexpr int64_t kPositions = 2048, kColumnsTogether = 128;

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {};
  uint8_t rows[16] = {};
};

// Interleaves 16 channels of two positions: 32-bit lanes of (first, second).
__attribute__((target("avx512f,avx512bw,avx512vl"))) inline __m512i pair(const uint16_t* first, const uint16_t* second) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Transposes 16 x 16 lanes of 32 bits.
__attribute__((target("avx512f,avx512bw,avx512vl"))) inline void transpose(__m512i rows[16]) {
  __m512i a[16], b[16];
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
  }
}

// A view of images that stand side by side: `width` columns of each, beginning at (top, left), which may lie outside.
struct Canvas {
  const uint16_t* images;
  int64_t count, rows, columns, channels;
  int64_t side_by_side, width, top, left;
  const uint16_t* zeros;  // what is seen beyond the borders

  // Calls use(place of the channels, position) for every position of `seen` rows, from left to right and down.
  template <typename Use>
  __attribute__((always_inline)) void walk(int64_t seen, Use use) const {
    int64_t at = 0;
    for (int64_t row = top; row < top + seen; ++row)
      for (int64_t image = 0; image < side_by_side; ++image)
        for (int64_t column = left; column < left + width; ++column, ++at) {
          const bool inside = image < count && row >= 0 && row < rows && column >= 0 && column < columns;
          use(inside ? images + ((image * rows + row) * columns + column) * channels : zeros, at);
        }
  }
};

// Writes rows[channel block][.][channel][position]: `length` positions, whole tiles in a row of the view.
__attribute__((target("avx512f,avx512bw,avx512vl"))) void lay_rows(const Canvas& canvas, int64_t seen, int64_t length,
                                                                   uint16_t* rows, int64_t block_stride) {
  const uint16_t* places[kDepth];
  canvas.walk(seen, [&](const uint16_t* place, int64_t at) __attribute__((target("avx512f,avx512bw,avx512vl"))) {
    places[at % kDepth] = place;
    if (at % kDepth != kDepth - 1) return;
    for (int64_t c = 0; c < canvas.channels; c += kTile) {
      __m512i block[16];
      for (int i = 0; i < 16; ++i) block[i] = pair(places[2 * i] + c, places[2 * i + 1] + c);
      transpose(block);
      uint16_t* to = rows + c / kTile * block_stride + at - (kDepth - 1);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * length, block[i]);
    }
  });
}

// Writes pairs[channel block][.][position / 2][channel][2].
__attribute__((target("avx512f,avx512bw,avx512vl"))) void lay_pairs(const Canvas& canvas, int64_t seen,
                                                                    uint16_t* pairs, int64_t block_stride) {
  const uint16_t* first = nullptr;
  canvas.walk(seen, [&](const uint16_t* place, int64_t at) __attribute__((target("avx512f,avx512bw,avx512vl"))) {
    if (at % 2 == 0) {
      first = place;
      return;
    }
    for (int64_t k = 0; k < canvas.channels; k += kTile)
      _mm512_store_si512(pairs + k / kTile * block_stride + (at - 1) * kTile, pair(first + k, place + k));
  });
}

// Both factors of the products, as they lie: strides between strips, channel blocks and rows, in elements; tiles in a
// row of a strip (`across`) and in all of dy's strip; strides between sums of two rows of taps, and of two channels.
struct Factors {
  int64_t strips, x_strip, x_row, dy_strip, dy_block, across, dy_steps, sums_tap, sums_row;
};

// Adds the product of 16 channels of x, one column of taps, and 16 (or 32) channels of dy: kRows tiles of sums one under
// another. A tile of x serves every tap of the column, a tile of dy likewise while it is in the first-level cache.
template <int kRows, int kColumns>
__attribute__((target("amx-tile,amx-bf16"))) void multiply(const Factors& f, const uint16_t* x, const uint16_t* dy,
                                                           float* sums, bool first) {
#define EACH_SUM(DO)                                             \
  DO(0, 0, 0);                                                   \
  if (kColumns > 1) DO(1, 0, 1);                                 \
  if (kRows > 1) DO(2, 1, 0);                                    \
  if (kRows > 1 && kColumns > 1) DO(3, 1, 1);                    \
  if (kRows > 2) DO(4, 2, 0);                                    \
  if (kRows > 2 && kColumns > 1) DO(5, 2, 1)
#define PLACE(row, column) (sums + row * f.sums_tap + column * kTile)
#define CLEAR(tile, row, column) _tile_zero(tile)
#define LOAD(tile, row, column) _tile_loadd(tile, PLACE(row, column), f.sums_row * 4)
#define STORE(tile, row, column) _tile_stored(tile, PLACE(row, column), f.sums_row * 4)
#define MULTIPLY(tile, row, column)                                                          \
  if (at >= row * f.across && at < f.dy_steps + row * f.across) {                            \
    _tile_loadd(7, right + (at - row * f.across) * kDepth * kTile + column * f.dy_block, 64); \
    _tile_dpbf16ps(tile, 6, 7);                                                              \
  }
  if (first) {
    EACH_SUM(CLEAR);
  } else {
    EACH_SUM(LOAD);
  }
  for (int64_t strip = 0; strip < f.strips; ++strip) {
    const uint16_t* left = x + strip * f.x_strip;
    const uint16_t* right = dy + strip * f.dy_strip;
    for (int64_t at = 0; at < f.dy_steps + (kRows - 1) * f.across; ++at) {
      _tile_loadd(6, left + at * kDepth, f.x_row * 2);
      EACH_SUM(MULTIPLY);
    }
  }
  EACH_SUM(STORE);
#undef EACH_SUM
#undef PLACE
#undef CLEAR
#undef LOAD
#undef STORE
#undef MULTIPLY
}

__attribute__((target("amx-tile"))) void configure_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.bytes_per_row[tile] = 64, config.rows[tile] = kTile;
  __asm__ volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic lets the compiler drop most of the struct
}

__attribute__((target("amx-tile"))) void release_tiles() { _tile_release(); }

}  // namespace

namespace jaxcnn {

bool have_amx() {
  static const bool have = [] {
    constexpr long kRequest = 0x1023, kTileData = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    __builtin_cpu_init();
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
    const bool amx = (d >> 22 & 1) && (d >> 24 & 1);  // AMX-BF16, AMX-TILE
    return amx && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  }();
  return have;
}

KernelGradient::KernelGradient(const KernelGradientShape& s) : shape(s) {
  side_by_side = kDepth / std::gcd(s.out_columns, kDepth);
  const int64_t width = side_by_side * s.out_columns;
  x_length = (s.out_rows + s.kernel_rows - 1) * width;
  dy_length = s.out_rows * width;
  strips = (s.batch + side_by_side - 1) / side_by_side;
  at_once = std::clamp<int64_t>(kPositions / dy_length, 1, strips);
  x_bytes = 2 * at_once * s.kernel_columns * s.in_channels * x_length;
  dy_bytes = 2 * at_once * s.out_channels * dy_length;
  zero_bytes = round_up(2 * std::max(s.in_channels, s.out_channels), 64);
}

int64_t KernelGradient::scratch_bytes() const { return x_bytes + dy_bytes + zero_bytes; }

int64_t KernelGradient::sums_count() const {
  return shape.kernel_rows * shape.kernel_columns * shape.in_channels * shape.out_channels;
}

void KernelGradient::run(const uint16_t* x, const uint16_t* dy, float* sums, char* scratch) const {
  const KernelGradientShape& s = shape;
  uint16_t* const rows = reinterpret_cast<uint16_t*>(scratch);
  uint16_t* const pairs = reinterpret_cast<uint16_t*>(scratch + x_bytes);
  uint16_t* const zeros = reinterpret_cast<uint16_t*>(scratch + x_bytes + dy_bytes);
  std::memset(zeros, 0, zero_bytes);
  const int64_t x_strip = kTile * x_length, x_block = at_once * x_strip, x_move = s.in_channels / kTile * x_block;
  const int64_t dy_strip = kTile * dy_length, dy_block = at_once * dy_strip;
  const int64_t parts = s.kernel_columns + 1, across = side_by_side * s.out_columns / kDepth;
#pragma omp parallel
  {
    configure_tiles();
    for (int64_t begin = 0; begin < strips; begin += at_once) {
      const int64_t count = std::min(at_once, strips - begin);
      const Factors factors{count, x_strip, x_length, dy_strip, dy_block, across, dy_length / kDepth,
                            s.kernel_columns * s.in_channels * s.out_channels, s.out_channels};
#pragma omp for schedule(static)
      for (int64_t task = 0; task < parts * count; ++task) {
        const int64_t strip = task / parts, move = task % parts, image = (begin + strip) * side_by_side;
        if (move < s.kernel_columns) {
          const Canvas canvas{x + image * s.rows * s.columns * s.in_channels, s.batch - image, s.rows, s.columns,
                              s.in_channels, side_by_side, s.out_columns, -s.low_rows, move - s.low_columns, zeros};
          lay_rows(canvas, s.out_rows + s.kernel_rows - 1, x_length, rows + move * x_move + strip * x_strip, x_block);
        } else {
          const Canvas canvas{dy + image * s.out_rows * s.out_columns * s.out_channels, s.batch - image, s.out_rows,
                              s.out_columns, s.out_channels, side_by_side, s.out_columns, 0, 0, zeros};
          lay_pairs(canvas, s.out_rows, pairs + strip * dy_strip, dy_block);
        }
      }
#pragma omp for collapse(2) schedule(static)
      for (int64_t group = 0; group < s.out_channels; group += kColumnsTogether)
        for (int64_t c = 0; c < s.in_channels; c += kTile) {
          const int64_t end = std::min(group + kColumnsTogether, s.out_channels);
          for (int64_t k = group; k < end; k += 2 * kTile)
            for (int64_t kw = 0; kw < s.kernel_columns; ++kw)
              for (int64_t kh = 0; kh < s.kernel_rows; kh += 3) {
                const int64_t together = std::min<int64_t>(3, s.kernel_rows - kh);
                const bool two = k + 2 * kTile <= end;
                const auto product = together == 3   ? (two ? multiply<3, 2> : multiply<3, 1>)
                                     : together == 2 ? (two ? multiply<2, 2> : multiply<2, 1>)
                                                     : (two ? multiply<1, 2> : multiply<1, 1>);
                product(factors, rows + kw * x_move + c / kTile * x_block + kh * across * kDepth,
                        pairs + k / kTile * dy_block,
                        sums + ((kh * s.kernel_columns + kw) * s.in_channels + c) * s.out_channels + k, begin == 0);
              }
        }
    }
    release_tiles();
  }
}

__attribute__((target("avx512f,avx512bw,avx512vl"))) void round_to_bfloat16(const float* from, uint16_t* to,
                                                                            int64_t count) {
  const uint32_t* bits = reinterpret_cast<const uint32_t*>(from);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t value = bits[i], rounded = value + 0x7fff + (value >> 16 & 1);
    to[i] = static_cast<uint16_t>((value & 0x7fffffff) > 0x7f800000 ? value >> 16 | 0x40 : rounded >> 16);
  }
}

}  // namespace jaxcnn
