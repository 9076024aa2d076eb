// gelu(v) = v s(2 u(v)), where u(v) = c (v + a v^3) and s is the logistic function (Hendrycks and Gimpel, "Gaussian error
// linear units", 2016), and its slope, in float32.
#pragma once

#include "loops.h"

namespace jaxcnn {

constexpr float kC = 0.7978845608f, kA = 0.044715f;  // sqrt(2 / pi)

// e^t to 2 units in the last place, for t from -80 to 80, and the ends' values outside; NaN stays. By Cephes's polynomial.
INLINE float exponential(float t) {
  t = t < -80.f ? -80.f : t;
  t = t > 80.f ? 80.f : t;
  const float shift = 12582912.f;  // 1.5 2^23: what is added to it is rounded to an integer
  const float n = (t * 1.44269504f + shift) - shift;
  const float f = (t - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + f + 1.f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

INLINE float gelu(float v) {
  const float least = v < -20.f ? -20.f : v;  // from there on the value is 0
  return least / (1.f + exponential(-2.f * kC * v * (1.f + kA * v * v)));
}

INLINE float gelu_slope(float v) {
  v = v < -20.f ? -20.f : v;  // there the slope is 0 and 1, and nothing overflows
  v = v > 20.f ? 20.f : v;
  const float square = v * v, e = exponential(-2.f * kC * v * (1.f + kA * square)), s = 1.f / (1.f + e);
  return s + v * s * (e * s) * (2.f * kC * (1.f + 3.f * kA * square));
}

}  // namespace jaxcnn
