"""Convolution as loops over NumPy arrays in float64: slow, and obvious."""

import itertools

import numpy as np

PAD_MODES = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def same_padding(n, window, stride, dilation, *, lower=False):
    """The amounts of TensorFlow's SAME, written from its definition: ceil(n / stride) outputs."""
    outputs = -(-n // stride)
    total = max(0, (outputs - 1) * stride + dilation * (window - 1) + 1 - n)
    small, large = total // 2, total - total // 2
    return (large, small) if lower else (small, large)


def conv(x, kernel, bias=None, *, strides, padding, mode="zeros", dilation, groups=1, flip=False):
    """x (batch, *spatial, in), kernel (*window, in // groups, out), one stride, dilation, (low, high) an axis."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = kernel.ndim - 2
    if flip:
        kernel = np.flip(kernel, tuple(range(rank)))
    x = np.pad(x, [(0, 0), *padding, (0, 0)], mode=PAD_MODES[mode])
    window, (per_group, outputs) = kernel.shape[:rank], kernel.shape[rank:]
    sizes = [
        (n - d * (w - 1) - 1) // s + 1 for n, w, s, d in zip(x.shape[1:-1], window, strides, dilation, strict=True)
    ]
    y = np.zeros((len(x), *sizes, outputs))
    for at in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, window)):
            where = tuple(s * i + d * p for s, i, d, p in zip(strides, at, dilation, tap, strict=True))
            for o in range(outputs):
                group = o // (outputs // groups)
                channels = slice(group * per_group, (group + 1) * per_group)
                y[(slice(None), *at, o)] += x[(slice(None), *where, channels)] @ kernel[(*tap, slice(None), o)]
    return y if bias is None else y + np.asarray(bias, np.float64)


def conv_transpose(x, kernel, bias=None, *, strides, padding, dilation, output_padding, groups=1):
    """Scatter the kernel from every position of x, then crop: kernel (*window, in // groups, out)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = kernel.ndim - 2
    window, (per_group, outputs) = kernel.shape[:rank], kernel.shape[rank:]
    full = [
        s * (n - 1) + d * (w - 1) + 1 + more
        for n, s, d, w, more in zip(x.shape[1:-1], strides, dilation, window, output_padding, strict=True)
    ]
    y = np.zeros((len(x), *full, outputs))
    for at in itertools.product(*map(range, x.shape[1:-1])):
        for tap in itertools.product(*map(range, window)):
            where = tuple(s * i + d * p for s, i, d, p in zip(strides, at, dilation, tap, strict=True))
            for o in range(outputs):
                group = o // (outputs // groups)
                channels = slice(group * per_group, (group + 1) * per_group)
                y[(slice(None), *where, o)] += x[(slice(None), *at, channels)] @ kernel[(*tap, slice(None), o)]
    crop = tuple(slice(low, n - high) for n, (low, high) in zip(full, padding, strict=True))
    y = y[(slice(None), *crop)]
    return y if bias is None else y + np.asarray(bias, np.float64)
