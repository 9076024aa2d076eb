// The kernel gradient of a convolution of stride 1, on AMX. Channels last; both counts multiples of 16.
#pragma once

#include <cstdint>

namespace jaxcnn {

struct KernelGradientShape {
  int64_t batch, rows, columns, in_channels, out_rows, out_columns, out_channels;
  int64_t kernel_rows, kernel_columns, low_rows, low_columns;  // low: padding before
  bool single;  // float32 arrays, each number as three bfloat16; otherwise bfloat16 ones
};

struct KernelGradient {
  explicit KernelGradient(const KernelGradientShape& shape);

  int64_t scratch_bytes() const { return x_bytes + dy_bytes; }
  int64_t sums_count() const;

  // Writes sums[kernel_rows][kernel_columns][in_channels][out_channels]; `scratch` is aligned to 64 bytes. Returns
  // false, with the sums undefined, if `single` and an array holds a number that is not finite.
  bool run(const void* x, const void* dy, float* sums, char* scratch) const;

  KernelGradientShape shape;
  int64_t pieces, side_by_side, strips, at_once;  // images in a strip, strips in all, strips laid out at a time
  int64_t x_length, dy_length;                    // positions in a strip
  int64_t x_bytes, dy_bytes;
};

// To nearest, ties to even; NaN stays NaN.
void round_to_bfloat16(const float* from, uint16_t* to, int64_t count);

}  // namespace jaxcnn
