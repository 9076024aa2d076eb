// A bias and a GELU in one pass over a channels-last map, and their gradient.

#include "gelu.h"
#include "stretches.h"

namespace jaxcnn {
namespace {

template <typename T>
INLINE void add(const T* __restrict x, const float* __restrict bias, int64_t count, T* __restrict y) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    narrow(gelu(widen(x[i]) + bias[i]), y + i);
  }
}

template <typename T>
INLINE void differentiate(const T* __restrict x, const float* __restrict bias, const T* __restrict dy, int64_t count,
                          T* __restrict dx, float* __restrict sums) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    const float value = gelu_slope(widen(x[i]) + bias[i]) * widen(dy[i]);
    narrow(value, dx + i);
    sums[i] += value;
  }
}

#define FOR_TYPE(T)                                                                                                  \
  VERSIONS void add_row(const T* x, const float* bias, int64_t count, T* y) { add(x, bias, count, y); }              \
  VERSIONS void differentiate_row(const T* x, const float* bias, const T* dy, int64_t count, T* dx, float* sums) {   \
    differentiate(x, bias, dy, count, dx, sums);                                                                     \
  }
FOR_TYPE(float)
FOR_TYPE(bfloat16)
#undef FOR_TYPE

ffi::Error bias_gelu(ffi::ThreadPool threads, Buffer x, Buffer bias, Result y) {
  return for_maps(x, *y, bias, [&](auto zero) {
    using T = decltype(zero);
    const Stretches map(x);
    const auto* const from = static_cast<const T*>(x.untyped_data());
    auto* const to = static_cast<T*>(y->untyped_data());
    const std::vector<float> tiled = map.tiled(static_cast<const T*>(bias.untyped_data()));
    for_each_part(threads, kParts, map.many_cores(), [&](int64_t part) {
      map.of_part(part, [&](int64_t at, int64_t count) { add_row(from + at, tiled.data(), count, to + at); });
    });
  });
}

ffi::Error bias_gelu_backward(ffi::ThreadPool threads, Buffer x, Buffer bias, Buffer dy, Result dx, Result dbias) {
  return for_maps(x, *dx, bias, [&](auto zero) {
    using T = decltype(zero);
    require(same(x.dimensions(), dy.dimensions()) && dy.element_type() == x.element_type(), "the maps of a bias differ");
    require(same(bias.dimensions(), dbias->dimensions()) && dbias->element_type() == x.element_type(),
            "the gradient of a bias differs from it");
    const Stretches map(x);
    const auto *inputs = static_cast<const T*>(x.untyped_data()), *from = static_cast<const T*>(dy.untyped_data());
    auto* const to = static_cast<T*>(dx->untyped_data());
    const std::vector<float> tiled = map.tiled(static_cast<const T*>(bias.untyped_data()));
    std::vector<float> sums(kParts * map.length, 0.f);
    for_each_part(threads, kParts, map.many_cores(), [&](int64_t part) {
      float* const own = &sums[part * map.length];
      map.of_part(part, [&](int64_t at, int64_t count) {
        differentiate_row(inputs + at, tiled.data(), from + at, count, to + at, own);
      });
    });
    map.add_up(sums, static_cast<T*>(dbias->untyped_data()));
  });
}

}  // namespace
}  // namespace jaxcnn

namespace ffi = xla::ffi;

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_gelu(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_gelu, jaxcnn::bias_gelu,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

JAXCNN_EXPORT XLA_FFI_Error* jaxcnn_bias_gelu_backward(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxcnn_bias_gelu_backward, jaxcnn::bias_gelu_backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
