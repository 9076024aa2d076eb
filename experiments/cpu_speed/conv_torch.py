"""Single convolutions by PyTorch's aten calls, channels-last (in one dimension PyTorch has no such format)."""

import os

import conv_cases
import numpy as np
import torch

FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}


def make(case, dtype, direction, arrays):
    """Prepare one call, and what brings its result to channels last."""
    rank = len(case.window)
    layout = FORMATS[rank]
    kind = getattr(torch, dtype)
    maps = (0, rank + 1, *range(1, rank + 1))
    channels = (rank, rank + 1) if case.transposed else (rank + 1, rank)  # (in, out) or (out, in) come first
    kernel_axes = (*channels, *range(rank))

    def tensor(array, axes):
        return torch.from_numpy(np.ascontiguousarray(array.transpose(axes))).to(kind).contiguous(memory_format=layout)

    x, gradient = tensor(arrays["input"], maps), tensor(arrays["gradient"], maps)
    kernel = tensor(arrays["kernel"], kernel_axes)
    each = [[value] * rank for value in (case.strides, case.padding, case.dilation)]
    rest = (*each, case.transposed, [0] * rank, case.groups)

    def call():
        if direction == "forward":
            return torch.ops.aten.convolution(x, kernel, None, *rest)
        mask = [direction == "input", direction == "kernel", False]
        found = torch.ops.aten.convolution_backward(gradient, x, kernel, None, *rest, mask)
        return found[0] if direction == "input" else found[1]

    def fetch(result):
        back = np.argsort(kernel_axes if direction == "kernel" else maps)
        return result.float().permute(*back.tolist()).contiguous().numpy()

    return call, fetch


def facts() -> dict:
    """Return the version and the threads."""
    return {"packages": {"torch": torch.__version__}, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    with torch.no_grad():
        conv_cases.work(make, facts)
