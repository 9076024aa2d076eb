"""How convolution runs on a CPU. A library user calls `enable()`; the command does it for you.

`enable()` replaces the last step of compilation, the lowering of `lax.conv_general_dilated_p` for the CPU, so any JAX
program gains: gradients of any order, vmap, scan and remat are untouched. There are three tiers.

- `onednn` (Linux on x86-64): oneDNN's forward, input-gradient and kernel-gradient convolutions, called through XLA's
  foreign function interface; on a processor with AMX also kernels of our own, for bfloat16 and for float32, whose
  products are there sums of bfloat16 products, as exact as its own (`precision="highest"` asks for the processor's).
  Few channels, and 3x3 filters for each channel in bfloat16, have kernels without matrices (AVX-512), which run side by
  side. Batch norm, bias with ReLU and max pools of `jaxcnn.functional` run as fused kernels in training.
- `canonical` (everywhere): XLA's own convolution, with the transposes written out that its fast path needs.
- `xla`: XLA's own rule, untouched.

oneDNN leaves these convolutions to the canonical tier, and `status().refused` counts them: element types other than
float32 and bfloat16 (float16 runs where oneDNN has it for the processor), 0 or more than 3 spatial axes, two element
types at once, empty arrays, arrays of 2 GB or more, and programs that XLA divides among several devices (inside
`shard_map` nothing is left to divide, and oneDNN runs).
"""

from jaxcnn.lowering.lint import Finding, lint
from jaxcnn.lowering.switch import Status, disable, enable, status

__all__ = ["Finding", "Status", "disable", "enable", "lint", "status"]
