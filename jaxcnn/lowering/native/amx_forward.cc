// A convolution on AMX: out[h, w, k] = sum over taps and channels of x[h s + kh d, w s + kw d, c] * weights[kh, kw, c, k].
//
// It is a product of matrices: positions by (taps, channels), times (taps, channels) by k. A thread lays its images out
// side by side, in tiles of 16 positions by 32 channels, once for each column of the kernel, already moved: a move by kh
// rows then keeps tiles whole. Borders are zeros in that layout. Every output sums its products in one order, wherever
// it stands: a shifted image gives the shifted result, bit by bit.
//
// float32 runs here too, at its own accuracy: a number is the sum of three bfloat16 (8 bits each), and of the nine
// products of two such sums the six that float32 can see are computed, the smallest first. AMX is so much faster that
// six products take less time than one on AVX-512. (Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial
// intelligence datatype for higher-precision computations", 2019.) Numbers under 2^-110 may lose their last bits.

#include "amx_forward.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "amx.h"

namespace jaxcnn {
namespace {

constexpr int64_t kElements = kTile * kDepth;
constexpr int64_t kLaidBytes = 5 << 18;  // of images that a task lays out: they stay in the second-level cache

JAXCNN_AVX512 bool lay_half(const Canvas<uint16_t>& canvas, int64_t seen, uint16_t* tiles) {
  const int64_t depth = canvas.channels / kDepth;
  canvas.walk(seen, [&](const uint16_t* place, int64_t at) JAXCNN_AVX512 {
    uint16_t* to = tiles + at / kTile * depth * kElements + at % kTile * kDepth;
    for (int64_t c = 0; c < depth; ++c)
      _mm512_store_si512(to + c * kElements,
                         place ? _mm512_loadu_si512(place + c * kDepth) : _mm512_setzero_si512());
  });
  return false;
}

JAXCNN_AVX512 bool lay_single(const Canvas<float>& canvas, int64_t seen, uint16_t* tiles) {
  const int64_t depth = canvas.channels / kDepth;
  bool odd = false;
  canvas.walk(seen, [&](const float* place, int64_t at) JAXCNN_AVX512 {
    uint16_t* to = tiles + at / kTile * depth * 3 * kElements + at % kTile * kDepth;
    for (int64_t c = 0; c < depth; ++c, to += 3 * kElements) {
      __m512i low[3] = {}, high[3] = {};
      if (place) {
        odd |= split(_mm512_loadu_ps(place + c * kDepth), low);
        odd |= split(_mm512_loadu_ps(place + c * kDepth + 16), high);
      }
      for (int piece = 0; piece < 3; ++piece) {
        uint16_t* row = to + piece * kElements;
        _mm256_store_si256(reinterpret_cast<__m256i*>(row), _mm512_cvtepi32_epi16(low[piece]));
        _mm256_store_si256(reinterpret_cast<__m256i*>(row + 16), _mm512_cvtepi32_epi16(high[piece]));
      }
    }
  });
  return odd;
}

// Lays one tile of weights out by pairs of channels: tile[channel / 2][k][2]. `in` and `out` are strides.
template <typename T>
JAXCNN_AVX512 bool lay_weights(const T* weights, int64_t in, int64_t out, uint16_t* tile) {
  bool odd = false;
  alignas(64) T block[kDepth][kTile];
  for (int64_t c = 0; c < kDepth; ++c) {
    if (out == 1)
      std::memcpy(block[c], weights + c * in, sizeof block[c]);
    else
      for (int64_t k = 0; k < kTile; ++k) block[c][k] = weights[c * in + k * out];
  }
  for (int64_t c = 0; c < kDepth; c += 2) {
    __m512i first[3], second[3];
    if constexpr (sizeof(T) == 2) {
      first[0] = widen(block[c]), second[0] = widen(block[c + 1]);
    } else {
      odd |= split(_mm512_load_ps(block[c]), first);
      odd |= split(_mm512_load_ps(block[c + 1]), second);
    }
    for (int piece = 0; piece < (sizeof(T) == 2 ? 1 : 3); ++piece)
      _mm512_store_si512(tile + piece * kElements + c * kTile, interleave(first[piece], second[piece]));
  }
  return odd;
}

// How the tiles lie: elements from a tile of x to that of the next row of taps, and of the next column; from one block of
// 16 outputs of the weights to the next. The pieces of a number lie in neighbouring tiles.
struct Steps {
  int64_t kernel_rows, kernel_columns, depth, down, right, weight_block;
};

// Computes 32 (or 16) positions by 32 (or 16) outputs.
template <bool kSingle, int kRows, int kColumns>
JAXCNN_AMX void multiply(const Steps& s, const uint16_t* x0, const uint16_t* x1, const uint16_t* weights,
                         float (*sums)[2 * kTile]) {
  constexpr int64_t kAll = (kSingle ? 3 : 1) * kElements, kSumsRow = sizeof sums[0];
  _tile_zero(0);
  if (kColumns > 1) _tile_zero(1);
  if (kRows > 1) _tile_zero(2);
  if (kRows > 1 && kColumns > 1) _tile_zero(3);
  for (int64_t kh = 0; kh < s.kernel_rows; ++kh)
    for (int64_t kw = 0; kw < s.kernel_columns; ++kw) {
      const int64_t tap = kh * s.down + kw * s.right;
      for (int64_t c = 0; c < s.depth; ++c, weights += kAll)
        for (int pair = kSingle ? 0 : 5; pair < 6; ++pair) {
          const int64_t left = tap + c * kAll + kPairs[pair][0] * kElements;
          const uint16_t* right = weights + kPairs[pair][1] * kElements;
          _tile_loadd(4, x0 + left, 64);
          _tile_loadd(6, right, 64);
          _tile_dpbf16ps(0, 4, 6);
          if (kColumns > 1) {
            _tile_loadd(7, right + s.weight_block, 64);
            _tile_dpbf16ps(1, 4, 7);
          }
          if (kRows > 1) {
            _tile_loadd(5, x1 + left, 64);
            _tile_dpbf16ps(2, 5, 6);
          }
          if (kRows > 1 && kColumns > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
  _tile_stored(0, sums[0], kSumsRow);
  if (kColumns > 1) _tile_stored(1, sums[0] + kTile, kSumsRow);
  if (kRows > 1) _tile_stored(2, sums[kTile], kSumsRow);
  if (kRows > 1 && kColumns > 1) _tile_stored(3, sums[kTile] + kTile, kSumsRow);
}

JAXCNN_AVX512 void store(const float* sums, int64_t count, bool single_out, char* out) {
  for (int64_t k = 0; k < count; k += kTile) {
    const __m512 values = _mm512_load_ps(sums + k);
    if (single_out) {
      _mm512_storeu_ps(reinterpret_cast<float*>(out) + k, values);
      continue;
    }
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(out) + k),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
}

}  // namespace

Forward::Forward(const ForwardShape& s) : shape(s), threads(omp_get_max_threads()) {
  pieces = s.single ? 3 : 1;
  side_by_side = kTile / std::gcd(s.out_columns, kTile);
  strips = (s.batch + side_by_side - 1) / side_by_side;
  across = side_by_side * s.out_columns / kTile;
  laid_rows = (s.out_rows - 1) * s.stride_rows + (s.kernel_rows - 1) * s.dilation_rows + 1;
  depth = s.in_channels / kDepth;
  taps = s.kernel_rows * s.kernel_columns;
  copy_bytes = laid_rows * across * depth * pieces * kTileBytes;
  strip_bytes = s.kernel_columns * copy_bytes;
  together = std::clamp<int64_t>(kLaidBytes / strip_bytes, 1, strips);
  weights_bytes = pieces * taps * depth * (s.out_channels / kTile) * kTileBytes;
}

int64_t Forward::scratch_bytes() const { return weights_bytes + threads * own_bytes(); }

int64_t Forward::own_bytes() const {
  const int64_t positions = together * shape.out_rows * across * kTile;
  return round_up(together * strip_bytes + positions * static_cast<int64_t>(sizeof(int64_t)), 64);
}

bool Forward::run(const void* x, const void* weights, void* out, char* scratch) const {
  const ForwardShape& s = shape;
  const int64_t out_size = s.single_out ? 4 : 2, whole = pieces * kElements;
  uint16_t* const packed = reinterpret_cast<uint16_t*>(scratch);
  const int64_t blocks = s.out_channels / kTile;
  const Steps steps{s.kernel_rows, s.kernel_columns, depth, s.dilation_rows * across * depth * whole, copy_bytes / 2,
                    taps * depth * whole};
  const int64_t tasks = (strips + together - 1) / together;
  // With fewer tasks than threads, each task's outputs are divided too.
  const int64_t parts = std::clamp<int64_t>(threads / tasks, 1, (blocks + 1) / 2);
  std::atomic<bool> odd{false};
#pragma omp parallel num_threads(threads)
  {
    bool mine = false;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < blocks * taps * depth; ++i) {
      const int64_t block = i / (taps * depth), tap = i / depth % taps, c = i % depth;
      const int64_t from = tap / s.kernel_columns * s.weight_rows + tap % s.kernel_columns * s.weight_columns +
                           c * kDepth * s.weight_in + block * kTile * s.weight_out;
      if (s.single)
        mine |= lay_weights(static_cast<const float*>(weights) + from, s.weight_in, s.weight_out, packed + i * whole);
      else
        lay_weights(static_cast<const uint16_t*>(weights) + from, s.weight_in, s.weight_out, packed + i * whole);
    }
    char* const own = scratch + weights_bytes + omp_get_thread_num() * own_bytes();
    int64_t* const pixels = reinterpret_cast<int64_t*>(own + together * strip_bytes);
    alignas(64) float sums[2 * kTile][2 * kTile];
    configure_tiles();
#pragma omp for schedule(dynamic) collapse(2)
    for (int64_t task = 0; task < tasks; ++task)
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t first = task * together, count = std::min(together, strips - first);
        for (int64_t i = 0; i < count * s.kernel_columns; ++i) {
          const int64_t strip = i / s.kernel_columns, kw = i % s.kernel_columns;
          const int64_t image = (first + strip) * side_by_side, left = kw * s.dilation_columns - s.low_columns;
          uint16_t* const to = reinterpret_cast<uint16_t*>(own + strip * strip_bytes + kw * copy_bytes);
          auto lay = [&](auto* images, auto how) {
            images += image * s.rows * s.columns * s.in_channels;
            return how({images, s.batch - image, s.rows, s.columns, s.in_channels, side_by_side, s.out_columns,
                        s.stride_columns, -s.low_rows, left},
                       laid_rows, to);
          };
          mine |= s.single ? lay(static_cast<const float*>(x), lay_single) : lay(static_cast<const uint16_t*>(x), lay_half);
        }
        // Which pixel of the result each position of the layout is; past the last image there is none.
        int64_t next = 0;
        for (int64_t strip = first; strip < first + count; ++strip)
          for (int64_t row = 0; row < s.out_rows; ++row)
            for (int64_t image = strip * side_by_side; image < (strip + 1) * side_by_side; ++image)
              for (int64_t column = 0; column < s.out_columns; ++column)
                pixels[next++] = image < s.batch ? (image * s.out_rows + row) * s.out_columns + column : -1;
        const int64_t tiles = next / kTile, pairs = (blocks + 1) / 2;
        auto place = [&](int64_t at) {  // the tile of x under the first tap of an output tile
          const int64_t strip = at / (s.out_rows * across), row = at / across % s.out_rows;
          return reinterpret_cast<uint16_t*>(own + strip * strip_bytes) +
                 (row * s.stride_rows * across + at % across) * depth * whole;
        };
        for (int64_t block = 2 * (pairs * part / parts); block < std::min(blocks, 2 * (pairs * (part + 1) / parts));
             block += 2)
          for (int64_t at = 0; at < tiles; at += 2) {
            const bool two_rows = at + 1 < tiles, two_columns = block + 1 < blocks;
            const auto product =
                s.single ? (two_rows ? (two_columns ? multiply<true, 2, 2> : multiply<true, 2, 1>)
                                     : (two_columns ? multiply<true, 1, 2> : multiply<true, 1, 1>))
                         : (two_rows ? (two_columns ? multiply<false, 2, 2> : multiply<false, 2, 1>)
                                     : (two_columns ? multiply<false, 1, 2> : multiply<false, 1, 1>));
            product(steps, place(at), two_rows ? place(at + 1) : nullptr, packed + block * steps.weight_block, sums);
            for (int64_t i = 0; i < (two_rows ? 2 : 1) * kTile; ++i)
              if (const int64_t pixel = pixels[at * kTile + i]; pixel >= 0)
                store(sums[i], (two_columns ? 2 : 1) * kTile, s.single_out,
                      static_cast<char*>(out) + (pixel * s.out_channels + block * kTile) * out_size);
          }
      }
    release_tiles();
    if (mine) odd = true;
  }
  return !odd;
}

}  // namespace jaxcnn
