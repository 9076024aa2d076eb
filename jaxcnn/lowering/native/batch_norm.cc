// Batch normalisation of a channels-last map, with or without a ReLU or a GELU after it, and its gradient.
//
// Memory is what these wait for, so each reads its map twice and writes once. Statistics are float32 over a block of
// rows, about the block's own mean, while it lies in the cache; blocks are put together in float64 (Chan, Golub and
// LeVeque, "Algorithms for computing the sample variance", 1983), so that no value costs the others their digits.

#include <cmath>

#include "batch_norm_loops.h"

namespace jaxcnn {
namespace {

constexpr int64_t kBlockBytes = 1 << 14;

#define FOR_TYPE(T)                                                                                                  \
  VERSIONS void statistics(const T* x, int64_t before, int64_t rows, int64_t channels, float* scratch, double* mean, \
                           double* moment) {                                                                         \
    join_block(x, before, rows, channels, scratch, mean, moment);                                                    \
  }                                                                                                                  \
  VERSIONS void normalize(const T* x, int64_t rows, int64_t channels, const Coefficients& k, T* y) {                 \
    switch (k.activation) {                                                                                          \
      case Activation::kNone: return normalize_rows<Activation::kNone>(x, rows, channels, k, y);                     \
      case Activation::kRelu: return normalize_rows<Activation::kRelu>(x, rows, channels, k, y);                     \
      case Activation::kGelu: return normalize_rows<Activation::kGelu>(x, rows, channels, k, y);                     \
    }                                                                                                                \
  }                                                                                                                  \
  VERSIONS void sums(const T* x, const T* dy, int64_t rows, int64_t channels, const Coefficients& k, float* scratch, \
                     double* totals, double* moments, T* dx) {                                                       \
    switch (k.activation) {                                                                                          \
      case Activation::kNone: return add_block<false>(x, dy, rows, channels, k, scratch, totals, moments);           \
      case Activation::kRelu: return add_block<true>(x, dy, rows, channels, k, scratch, totals, moments);            \
      case Activation::kGelu: return add_gelu_block(x, dy, rows, channels, k, scratch, totals, moments, dx);         \
    }                                                                                                                \
  }                                                                                                                  \
  VERSIONS void differentiate(const T* x, const T* dy, int64_t rows, int64_t channels, const Coefficients& k,        \
                              T* dx) {                                                                               \
    switch (k.activation) {                                                                                          \
      case Activation::kNone: return differentiate_rows<false>(x, dy, rows, channels, k, dx);                        \
      case Activation::kRelu: return differentiate_rows<true>(x, dy, rows, channels, k, dx);                         \
      case Activation::kGelu: return differentiate_in_place(x, rows, channels, k, dx);                               \
    }                                                                                                                \
  }
FOR_TYPE(float)
FOR_TYPE(bfloat16)
#undef FOR_TYPE

// A map as rows of channels, in parts that cores take, each in blocks that fit the first cache.
struct Rows {
  static constexpr int64_t kParts = 16;
  int64_t rows, channels, block;

  Rows(ffi::AnyBuffer map, size_t width) {
    require(map.dimensions().size() >= 1, "a map has an axis of channels");
    channels = map.dimensions().back();
    require(channels > 0 && map.element_count() > 0, "an empty map has no statistics");
    rows = static_cast<int64_t>(map.element_count()) / channels;
    block = std::clamp<int64_t>(kBlockBytes / (channels * static_cast<int64_t>(width)), 8, 256);
  }

  bool many_cores() const { return rows * channels >= kWorthManyCores; }
  int64_t begin(int64_t part) const { return rows * part / kParts; }

  // Calls `body(first row, rows)` for each block of a part, first to last.
  template <typename Body>
  void forwards(int64_t part, const Body& body) const {
    for (int64_t row = begin(part), end = begin(part + 1); row < end; row += block) {
      body(row, std::min(block, end - row));
    }
  }

  // Last to first: what the pass before read last is still in the cache.
  template <typename Body>
  void backwards(int64_t part, const Body& body) const {
    const int64_t first = begin(part), end = begin(part + 1), blocks = (end - first + block - 1) / block;
    for (int64_t b = blocks; b-- > 0;) body(first + b * block, std::min(block, end - first - b * block));
  }
};

const float* vector(const Buffer& buffer, int64_t channels) {
  require(buffer.element_type() == ffi::F32 && buffer.dimensions().size() == 1 && buffer.dimensions()[0] == channels,
          "scales, offsets and statistics are float32, one a channel");
  return static_cast<const float*>(buffer.untyped_data());
}

float* vector(Result& buffer, int64_t channels) { return const_cast<float*>(vector(*buffer, channels)); }

template <typename T>
void forward(ffi::ThreadPool& pool, const Rows& map, const T* x, const float* scale, const float* offset, float epsilon,
             Activation activation, T* y,
                          float* mean, float* error, float* variance) {
  const int64_t channels = map.channels, parts = Rows::kParts;
  std::vector<double> means(parts * channels), moments(parts * channels);
  std::vector<float> scratch(parts * 3 * channels), factor(channels);
  for_each_part(pool, parts, map.many_cores(), [&](int64_t part) {
    map.forwards(part, [&](int64_t row, int64_t rows) {
      statistics(x + row * channels, row - map.begin(part), rows, channels, &scratch[part * 3 * channels],
                 &means[part * channels], &moments[part * channels]);
    });
  });
  for (int64_t part = 1; part < parts; ++part) {
    const int64_t before = map.begin(part), n = map.begin(part + 1) - before;
    for (int64_t i = 0; n > 0 && i < channels; ++i) {
      join(static_cast<double>(before), static_cast<double>(n), means[part * channels + i],
           moments[part * channels + i], &means[i], &moments[i]);
    }
  }
  for (int64_t i = 0; i < channels; ++i) {
    mean[i] = static_cast<float>(means[i]);
    error[i] = static_cast<float>(means[i] - mean[i]);
    const double biased = moments[i] / static_cast<double>(map.rows);
    variance[i] = static_cast<float>(biased < 0 ? 0 : biased);
    factor[i] = scale[i] / std::sqrt(variance[i] + epsilon);
  }
  const Coefficients k{activation, mean, error, factor.data(), offset, nullptr, nullptr};
  for_each_part(pool, parts, map.many_cores(), [&](int64_t part) {
    map.backwards(part, [&](int64_t row, int64_t rows) {
      normalize(x + row * channels, rows, channels, k, y + row * channels);
    });
  });
}

template <typename T>
void backward(ffi::ThreadPool& pool, const Rows& map, const T* x, const float* scale, const float* offset, const float* mean,
              const float* error, const float* variance, const T* dy, const float* dmean, const float* dvariance,
              float epsilon, Activation activation, T* dx, float* dscale, float* doffset) {
  const int64_t channels = map.channels, parts = Rows::kParts;
  std::vector<double> totals(parts * channels), moments(parts * channels);
  std::vector<float> scratch(parts * 2 * channels), factor(channels), slope(channels), shift(channels);
  for (int64_t i = 0; i < channels; ++i) factor[i] = scale[i] / std::sqrt(variance[i] + epsilon);
  const Coefficients k{activation, mean, error, factor.data(), offset, slope.data(), shift.data()};
  for_each_part(pool, parts, map.many_cores(), [&](int64_t part) {
    map.forwards(part, [&](int64_t row, int64_t rows) {
      sums(x + row * channels, dy + row * channels, rows, channels, k, &scratch[part * 2 * channels],
           &totals[part * channels], &moments[part * channels], dx + row * channels);
    });
  });
  for (int64_t i = 0; i < channels; ++i) {
    for (int64_t part = 1; part < parts; ++part) {
      totals[i] += totals[part * channels + i];
      moments[i] += moments[part * channels + i];
    }
    const double inverse = 1 / std::sqrt(variance[i] + epsilon), n = static_cast<double>(map.rows);
    dscale[i] = static_cast<float>(inverse * moments[i]);
    doffset[i] = static_cast<float>(totals[i]);
    slope[i] = static_cast<float>((2. * dvariance[i] - inverse * inverse * inverse * scale[i] * moments[i]) / n);
    shift[i] = static_cast<float>((dmean[i] - inverse * scale[i] * totals[i]) / n);
  }
  for_each_part(pool, parts, map.many_cores(), [&](int64_t part) {
    map.backwards(part, [&](int64_t row, int64_t rows) {
      differentiate(x + row * channels, dy + row * channels, rows, channels, k, dx + row * channels);
    });
  });
}

// Calls `body` with a value of the type of a map's elements.
template <typename Body>
ffi::Error for_type_of(const Buffer& map, const Body& body) {
  return guarded([&] {
    if (map.element_type() == ffi::F32) return body(float{});
    require(map.element_type() == ffi::BF16, "the map is float32 or bfloat16");
    body(bfloat16{});
  });
}

void require_alike(const Buffer& left, const Buffer& right) {
  require(left.element_type() == right.element_type() && same(left.dimensions(), right.dimensions()),
          "the maps differ in shape or type");
}

Activation activation_of(int32_t number) {
  require(number >= 0 && number <= 2, "an activation is 0 (none), 1 (ReLU) or 2 (GELU)");
  return static_cast<Activation>(number);
}

ffi::Error run_forward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer offset, Result y, Result mean, Result error, Result variance,
                       float epsilon, int32_t activation) {
  return for_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Rows map(x, sizeof(T));
    const int64_t channels = map.channels;
    require_alike(x, *y);
    forward(pool, map, static_cast<const T*>(x.untyped_data()), vector(scale, channels), vector(offset, channels), epsilon,
            activation_of(activation), static_cast<T*>(y->untyped_data()), vector(mean, channels), vector(error, channels),
            vector(variance, channels));
  });
}

ffi::Error run_backward(ffi::ThreadPool pool, Buffer x, Buffer scale, Buffer offset, Buffer mean, Buffer error, Buffer variance, Buffer dy,
                        Buffer dmean, Buffer dvariance, Result dx, Result dscale, Result doffset, float epsilon,
                        int32_t activation) {
  return for_type_of(x, [&](auto zero) {
    using T = decltype(zero);
    const Rows map(x, sizeof(T));
    const int64_t channels = map.channels;
    require_alike(x, dy);
    require_alike(x, *dx);
    backward(pool, map, static_cast<const T*>(x.untyped_data()), vector(scale, channels), vector(offset, channels),
             vector(mean, channels), vector(error, channels), vector(variance, channels),
             static_cast<const T*>(dy.untyped_data()), vector(dmean, channels), vector(dvariance, channels), epsilon,
             activation_of(activation), static_cast<T*>(dx->untyped_data()), vector(dscale, channels), vector(doffset, channels));
  });
}

}  // namespace
}  // namespace jaxcnn

namespace ffi = xla::ffi;

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_batch_norm(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_batch_norm, jaxcnn::run_forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<float>("epsilon")
                                  .Attr<int32_t>("activation"));

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_batch_norm_backward(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_batch_norm_backward, jaxcnn::run_backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<float>("epsilon")
                                  .Attr<int32_t>("activation"));
