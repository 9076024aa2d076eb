// A convolution as Python describes it, and its arrays as oneDNN sees them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace jaxcnn::convolution {

namespace ffi = xla::ffi;
using dnnl::memory;
using Dims = memory::dims;

constexpr int64_t kMost = (int64_t{1} << 31) - 1;  // of any number, and of an array's bytes: oneDNN counts in 32 bits

[[noreturn]] inline void refuse(const std::string& reason) { throw std::invalid_argument(reason); }

inline void require(bool fine, const char* reason) {
  if (!fine) refuse(reason);
}

// One array as it lies in memory: densely, the last axis fastest.
struct Array {
  memory::data_type type;
  Dims shape;
  void* data = nullptr;

  Dims strides() const {
    Dims strides(shape.size());
    int64_t stride = 1;
    for (size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
    return strides;
  }
};

enum Kind : int64_t { kForward = 0, kInputGradient = 1, kKernelGradient = 2 };

// The numbers that Python sends: [kind, rank, groups, loops, native, alone,
//   lhs axes (batch, features, spatial...), rhs axes (out, in, spatial...), out axes (batch, features, spatial...),
//   strides, dilation, padding low, padding high], of the forward convolution that this one is, or is a gradient of.
// `groups` are oneDNN's; `loops` independent convolutions split lhs by its batch (a kernel gradient: by its features)
// and rhs and out by their output features. `native` asks for float32 products as the processor has them;
// `alone`, for one thread, beside other convolutions.
struct Description {
  int64_t kind, rank, groups, loops, native, alone;
  std::vector<int64_t> lhs, rhs, out;
  Dims strides, dilation, low, high;

  explicit Description(ffi::Span<const int64_t> numbers) {
    require(numbers.size() >= 6, "the description of a convolution has too few numbers");
    const int64_t* next = numbers.begin();
    kind = *next++, rank = *next++, groups = *next++, loops = *next++, native = *next++, alone = *next++;
    require(kind >= kForward && kind <= kKernelGradient, "unknown kind of convolution");
    require(rank >= 1 && rank <= 3, "a convolution has 1 to 3 spatial axes");
    require(groups >= 1 && loops >= 1 && groups <= kMost && loops <= kMost, "groups or loops out of range");
    require(static_cast<int64_t>(numbers.size()) == 6 + 3 * (rank + 2) + 4 * rank,
            "the description of a convolution has the wrong length");
    auto take = [&next](int64_t count) {
      std::vector<int64_t> taken(next, next + count);
      next += count;
      return taken;
    };
    for (auto* axes : {&lhs, &rhs, &out}) {
      *axes = take(rank + 2);
      auto sorted = *axes;
      std::sort(sorted.begin(), sorted.end());
      for (int64_t axis = 0; axis < rank + 2; ++axis)
        require(sorted[axis] == axis, "the axes of a convolution's array are not a permutation");
    }
    strides = take(rank), dilation = take(rank), low = take(rank), high = take(rank);
    for (int64_t axis = 0; axis < rank; ++axis) {
      require(strides[axis] >= 1 && dilation[axis] >= 1 && low[axis] >= 0 && strides[axis] <= kMost &&
                  dilation[axis] <= kMost && low[axis] <= kMost && high[axis] >= -kMost && high[axis] <= kMost,
              "strides, dilation or padding out of range");
    }
  }
};

// A view of a buffer for one loop: dims in oneDNN's order (groups split off for weights), strides, bytes between loops.
struct View {
  memory::data_type type;
  Dims dims, strides;
  int64_t loop_bytes = 0;

  memory::desc desc() const { return memory::desc(dims, type, strides); }

  // Whether the elements lie as in `other`: strides of axes of one element do not matter.
  bool lies_as(const memory::desc& other) const {
    if (other.get_inner_nblks() != 0 || other.get_dims() != dims || other.get_data_type() != type) return false;
    const Dims theirs = other.get_strides();
    for (size_t axis = 0; axis < dims.size(); ++axis)
      if (dims[axis] > 1 && strides[axis] != theirs[axis]) return false;
    return true;
  }
};

inline void divide(int64_t& dim, int64_t parts, const char* reason) {
  require(dim % parts == 0, reason);
  dim /= parts;
}

// Views a map as (batch, channels, spatial...): `batch` and `channels` are positions in the buffer.
inline View view_map(const Array& array, const std::vector<int64_t>& axes, bool swap) {
  View view{array.type, {}, {}};
  const Dims strides = array.strides();
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i < 2 && swap ? 1 - i : i];
    view.dims.push_back(array.shape[axis]);
    view.strides.push_back(strides[axis]);
  }
  return view;
}

// Splits axis `axis` of a view into (parts, rest), and keeps one part: the loops of a convolution.
inline void split_loops(View& view, size_t axis, int64_t loops) {
  divide(view.dims[axis], loops, "an axis is not divisible by the number of convolutions");
  view.loop_bytes = view.dims[axis] * view.strides[axis] * static_cast<int64_t>(memory::data_type_size(view.type));
}

// Views weights as (groups?, out, in, spatial...), where the group is the outer part of axis `grouped` (0 out, 1 in).
inline View group_weights(View view, size_t grouped, int64_t groups) {
  if (groups == 1) return view;
  divide(view.dims[grouped], groups, "output features are not divisible by groups");
  view.strides.insert(view.strides.begin(), view.dims[grouped] * view.strides[grouped]);
  view.dims.insert(view.dims.begin(), groups);
  return view;
}

inline memory::format_tag channels_last(int64_t rank) {
  using tag = memory::format_tag;
  return rank == 1 ? tag::nwc : rank == 2 ? tag::nhwc : tag::ndhwc;
}

inline memory::format_tag blocked(int64_t rank) {
  using tag = memory::format_tag;
  return rank == 1 ? tag::nCw16c : rank == 2 ? tag::nChw16c : tag::nCdhw16c;
}

}  // namespace jaxcnn::convolution
