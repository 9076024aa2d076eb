// A convolution on AMX, of any stride and dilation: channels last, inputs a multiple of 32, outputs of 16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace jaxcnn {

struct ForwardShape {
  int64_t batch, rows, columns, in_channels, out_rows, out_columns, out_channels;
  int64_t kernel_rows, kernel_columns, low_rows, low_columns;  // low: padding before
  int64_t stride_rows, stride_columns, dilation_rows, dilation_columns;
  int64_t weight_out, weight_in, weight_rows, weight_columns;  // strides of the weights, in elements
  bool single;       // float32 arrays, each number as three bfloat16; otherwise bfloat16 ones
  bool single_out;   // the result is float32
};

struct Forward {
  explicit Forward(const ForwardShape& shape);

  int64_t scratch_bytes() const;
  int64_t own_bytes() const;  // of the scratch memory: one thread's

  // Returns false, with the result undefined, if `single` and an array holds a number that is not finite: the three
  // parts of infinity would make NaN. `scratch` is aligned to 64 bytes.
  bool run(const void* x, const void* weights, void* out, char* scratch) const;

  ForwardShape shape;
  int threads;
  int64_t pieces, side_by_side, strips, together;    // strips in all, and in one task
  int64_t across, laid_rows, depth, taps;            // tiles in a row of a strip; rows; tiles of channels; taps
  int64_t copy_bytes, strip_bytes, weights_bytes;
};

}  // namespace jaxcnn
