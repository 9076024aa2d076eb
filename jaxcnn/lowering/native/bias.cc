// A bias and a ReLU in one pass over a channels-last map, and their gradient.

#include "stretches.h"

namespace jaxcnn {
namespace {

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

ffi::Error bias_relu(ffi::ThreadPool threads, Buffer x, Buffer bias, Result y) {
  return for_maps(x, *y, bias, [&](auto zero) {
    using T = decltype(zero);
    const Stretches map(x);
    const auto *from = static_cast<const T*>(x.untyped_data()), *values = static_cast<const T*>(bias.untyped_data());
    auto* const to = static_cast<T*>(y->untyped_data());
    const std::vector<float> tiled = map.tiled(values);
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
    map.add_up(sums, total);
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
