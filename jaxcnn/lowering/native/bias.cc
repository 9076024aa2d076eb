// A bias and a ReLU in one pass over a channels-last map, and their gradient.
//
// A row of a map may have few channels, which would leave the processor's vectors empty: bias and sums are laid out for
// a stretch of several rows. The gradient's parts are summed in their order, whoever computed them.

#include "loops.h"

namespace jaxcnn {
namespace {

constexpr int64_t kParts = 16, kStretch = 512;

template <typename T>
INLINE void add(const T* __restrict x, const float* __restrict bias, int64_t count, T* __restrict y) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const float sum = widen(x[i]) + bias[i];
    narrow(sum < 0.f ? 0.f : sum, y + i);  // NaN stays
  }
}

template <typename T>
INLINE void mask(const T* __restrict y, const T* __restrict dy, int64_t count, T* __restrict dx, float* __restrict sums) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const float value = widen(y[i]) > 0.f ? widen(dy[i]) : 0.f;
    narrow(value, dx + i);
    sums[i] += value;
  }
}

#define FOR_TYPE(T)                                                                                                 \
  VERSIONS void add_row(const T* x, const float* bias, int64_t count, T* y) { add(x, bias, count, y); }             \
  VERSIONS void mask_row(const T* y, const T* dy, int64_t count, T* dx, float* sums) { mask(y, dy, count, dx, sums); }
FOR_TYPE(float)
FOR_TYPE(bfloat16)
#undef FOR_TYPE

// A map as stretches of whole rows, the last one perhaps shorter.
struct Stretches {
  int64_t elements, channels, length, count;

  explicit Stretches(const Buffer& map) {
    require(map.dimensions().size() >= 1 && map.element_count() > 0, "an empty map has no bias");
    elements = static_cast<int64_t>(map.element_count()), channels = map.dimensions().back();
    length = channels * std::max<int64_t>(1, kStretch / channels);
    count = (elements + length - 1) / length;
  }

  // Calls `body(first element, elements)` for each stretch of a part.
  template <typename Body>
  void of_part(int64_t part, const Body& body) const {
    for (int64_t i = count * part / kParts; i < count * (part + 1) / kParts; ++i)
      body(i * length, std::min(length, elements - i * length));
  }

  bool many_cores() const { return elements >= kWorthManyCores; }
};

template <typename Body>
ffi::Error for_maps(const Buffer& map, const Buffer& other, const Buffer& bias, const Body& body) {
  return guarded([&] {
    require(same(map.dimensions(), other.dimensions()) && map.element_type() == other.element_type() &&
                map.element_type() == bias.element_type(),
            "the maps of a bias differ");
    require(bias.dimensions().size() == 1 && bias.dimensions()[0] == map.dimensions().back(),
            "a bias has one value a channel");
    if (map.element_type() == ffi::F32) return body(float{});
    require(map.element_type() == ffi::BF16, "the map is float32 or bfloat16");
    body(bfloat16{});
  });
}

ffi::Error bias_relu(ffi::ThreadPool threads, Buffer x, Buffer bias, Result y) {
  return for_maps(x, *y, bias, [&](auto zero) {
    using T = decltype(zero);
    const Stretches map(x);
    const auto *from = static_cast<const T*>(x.untyped_data()), *values = static_cast<const T*>(bias.untyped_data());
    auto* const to = static_cast<T*>(y->untyped_data());
    std::vector<float> tiled(map.length);
    for (int64_t i = 0; i < map.length; ++i) tiled[i] = widen(values[i % map.channels]);
    for_each_part(threads, kParts, map.many_cores(), [&](int64_t part) {
      map.of_part(part, [&](int64_t at, int64_t count) { add_row(from + at, tiled.data(), count, to + at); });
    });
  });
}

ffi::Error bias_relu_backward(ffi::ThreadPool threads, Buffer y, Buffer dy, Result dx, Result dbias) {
  return for_maps(y, *dx, *dbias, [&](auto zero) {
    using T = decltype(zero);
    require(same(y.dimensions(), dy.dimensions()) && dy.element_type() == y.element_type(), "the maps of a bias differ");
    const Stretches map(y);
    const auto *outputs = static_cast<const T*>(y.untyped_data()), *from = static_cast<const T*>(dy.untyped_data());
    auto *const to = static_cast<T*>(dx->untyped_data()), *const total = static_cast<T*>(dbias->untyped_data());
    std::vector<float> sums(kParts * map.length, 0.f);
    for_each_part(threads, kParts, map.many_cores(), [&](int64_t part) {
      float* const own = &sums[part * map.length];
      map.of_part(part, [&](int64_t at, int64_t count) { mask_row(outputs + at, from + at, count, to + at, own); });
    });
    std::vector<double> totals(map.channels, 0.);
    for (size_t i = 0; i < sums.size(); ++i) totals[i % map.length % map.channels] += sums[i];
    for (int64_t c = 0; c < map.channels; ++c) narrow(static_cast<float>(totals[c]), total + c);
  });
}

}  // namespace
}  // namespace jaxcnn

namespace ffi = xla::ffi;

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_relu(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_relu, jaxcnn::bias_relu,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_relu_backward(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_relu_backward, jaxcnn::bias_relu_backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
