// Where the windows of a pool lie on its map.
#pragma once

#include <array>

#include "loops.h"

namespace jaxcnn {

constexpr int64_t kMostTaps = 255;  // which tap won is a byte

// A position on an axis, and which tap of a window it is.
struct Place {
  int64_t at, tap;
};

// One spatial axis: for each output, the positions that its window sees; for each position, the windows that see it.
struct Axis {
  int64_t size = 1, outputs = 1, window = 1;
  std::vector<std::vector<Place>> seen{{{0, 0}}}, windows{{{0, 0}}};

  Axis() = default;
  Axis(int64_t size, int64_t outputs, int64_t window, int64_t stride, int64_t dilation, int64_t low)
      : size(size), outputs(outputs), window(window), seen(outputs), windows(size) {
    constexpr int64_t kMost = int64_t{1} << 31;
    for (const int64_t number : {size, outputs, window, stride, dilation, low + 1}) {
      require(number >= 1 && number <= kMost, "a size, stride, dilation or padding of a pool is out of range");
    }
    for (int64_t output = 0; output < outputs; ++output) {
      for (int64_t tap = 0; tap < window; ++tap) {
        const int64_t at = output * stride + tap * dilation - low;
        if (at < 0 || at >= size) continue;
        seen[output].push_back({at, tap});
        windows[at].push_back({output, tap});
      }
      require(!seen[output].empty(), "a window of a pool sees nothing but padding");
    }
  }
};

// A pool on a map `(batch, *spatial, channels)`, of three spatial axes, some perhaps of size 1.
struct Pool {
  int64_t batch, channels;
  std::array<Axis, 3> axes;

  Pool(const Buffer& map, const Buffer& output, Numbers window, Numbers strides, Numbers dilation, Numbers low) {
    const auto sizes = map.dimensions(), results = output.dimensions();
    const size_t rank = window.size();
    require(rank >= 1 && rank <= 3, "a pool has 1 to 3 spatial axes");
    require(sizes.size() == rank + 2 && results.size() == rank + 2 && strides.size() == rank &&
                dilation.size() == rank && low.size() == rank,
            "the numbers of a pool do not fit its map");
    batch = sizes[0], channels = sizes[rank + 1];
    require(results[0] == batch && results[rank + 1] == channels, "a pool keeps the batch and the channels");
    int64_t taps = 1;
    for (size_t axis = 0; axis < rank; ++axis) {
      require(window[axis] >= 1 && window[axis] <= kMostTaps, "the window of a pool is out of range");
      taps *= window[axis];
      axes[3 - rank + axis] = Axis(sizes[axis + 1], results[axis + 1], window[axis], strides[axis], dilation[axis],
                                   low[axis]);
    }
    require(taps <= kMostTaps, "the window of a pool has too many taps");
  }

  int64_t pixels() const { return axes[0].size * axes[1].size * axes[2].size; }
  int64_t outputs() const { return axes[0].outputs * axes[1].outputs * axes[2].outputs; }

  // Whether no position is seen by two windows.
  bool is_disjoint() const {
    return std::all_of(axes.begin(), axes.end(), [](const Axis& axis) {
      return std::all_of(axis.windows.begin(), axis.windows.end(), [](const auto& seen) { return seen.size() <= 1; });
    });
  }

  // Whether windows cover the map.
  bool is_covering() const {
    return std::all_of(axes.begin(), axes.end(), [](const Axis& axis) {
      return std::none_of(axis.windows.begin(), axis.windows.end(), [](const auto& seen) { return seen.empty(); });
    });
  }

  // Whether windows of 2x2 stand side by side on a map of two axes, without padding.
  bool is_halving() const {
    return axes[0].size == 1 && std::all_of(axes.begin() + 1, axes.end(), [](const Axis& axis) {
      if (axis.window != 2) return false;
      for (int64_t output = 0; output < axis.outputs; ++output) {
        const auto& seen = axis.seen[output];
        if (seen.size() != 2 || seen[0].at != 2 * output || seen[1].at != 2 * output + 1) return false;
      }
      return true;
    });
  }

  // Calls `body(pixel, tap)` for what one window sees of its image, in reading order.
  template <typename Body>
  void for_each_tap(int64_t d, int64_t h, int64_t w, const Body& body) const {
    for (const Place& z : axes[0].seen[d]) {
      for (const Place& v : axes[1].seen[h]) {
        for (const Place& u : axes[2].seen[w]) {
          body((z.at * axes[1].size + v.at) * axes[2].size + u.at, tap(z, v, u));
        }
      }
    }
  }

  // Calls `body(output, tap)` for the windows that see one pixel of their image.
  template <typename Body>
  void for_each_window(int64_t d, int64_t h, int64_t w, const Body& body) const {
    for (const Place& z : axes[0].windows[d]) {
      for (const Place& v : axes[1].windows[h]) {
        for (const Place& u : axes[2].windows[w]) {
          body((z.at * axes[1].outputs + v.at) * axes[2].outputs + u.at, tap(z, v, u));
        }
      }
    }
  }

 private:
  uint8_t tap(const Place& z, const Place& v, const Place& u) const {
    return static_cast<uint8_t>((z.tap * axes[1].window + v.tap) * axes[2].window + u.tap);
  }
};

}  // namespace jaxcnn
