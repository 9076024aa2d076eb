"""Convolution and its adjoint on channels-last maps of any spatial rank."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Num

from jaxcnn.functional import window as win
from jaxcnn.functional.bias import add_bias


def conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window in_per_group out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    *,
    strides: win.Sizes = 1,
    padding: win.Padding = "SAME",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
    groups: int = 1,
    flip_kernel: bool = False,
    precision: lax.PrecisionLike = None,
    activation: str | None = None,
) -> Num[Array, "*batch_and_output out_channels"]:
    """Convolve a map with a kernel.

    `y[i, o] = bias[o] + sum_{p, c} kernel[p, c, o] x[S i + D p - low, c]`: deep learning's convolution, a
    cross-correlation. Half precision accumulates in float32.

    Args:
        x: Map, `(*batch, *spatial, in_channels)`, any number of batch axes.
        kernel: `(*window, in_channels // groups, out_channels)`; its rank gives the number of spatial axes, 1 to 3.
        bias: `(out_channels,)`, or None.
        strides: Steps between two windows, an int or one an axis.
        padding: `"VALID"`, `"SAME"`, `"SAME_LOWER"`, an int, one int an axis, or one (low, high) an axis.
        padding_mode: What the padding holds: `zeros`, `circular`, `reflect` or `replicate`.
        dilation: Distance between two taps, an int or one an axis.
        groups: Number of groups that channels are split into; a group sees its own channels only.
        flip_kernel: Flip the window, as the mathematician's convolution does.
        precision: As in `lax.conv_general_dilated`.
        activation: None, `relu`, `gelu` or `relu_pool`: what `add_bias` computes in one pass with the bias.

    Returns:
        Map, `(*batch, *output, out_channels)`, of x's dtype.

    Raises:
        ValueError: Shapes or sizes that do not fit.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        The lecture's ten 5x5x3 filters, stride 1, padding 2: 760 parameters.

        >>> x, kernel, bias = jnp.ones((32, 32, 3)), jnp.ones((5, 5, 3, 10)), jnp.zeros(10)
        >>> conv(x, kernel, bias, padding=2).shape, kernel.size + bias.size
        ((32, 32, 10), 760)

    Reference:
        CS231n, "Convolutional networks"; Dumoulin and Visin, "A guide to convolution arithmetic", 2016.
    """
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    rank = kernel_rank(kernel)
    x, batch = win.merge_batch(x, rank)
    check_channels(x, kernel, bias, groups)
    place = win.geometry(x.shape[1:-1], kernel.shape[:rank], strides=strides, padding=padding, dilation=dilation)
    amounts = place.padding
    if padding_mode != "zeros":
        x, amounts = win.pad(x, amounts, padding_mode), ((0, 0),) * rank
    kernel = lax.rev(kernel, range(rank)) if flip_kernel else kernel
    y = lax.conv_general_dilated(
        x,
        kernel,
        place.strides,
        amounts,
        rhs_dilation=place.dilation,
        dimension_numbers=dimension_numbers(rank),
        feature_group_count=groups,
        precision=precision,
    )
    y = add_bias(y, bias, activation=activation)
    return y.reshape(*batch, *y.shape[1:])


def depthwise_conv(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window one out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    *,
    strides: win.Sizes = 1,
    padding: win.Padding = "SAME",
    padding_mode: str = "zeros",
    dilation: win.Sizes = 1,
) -> Num[Array, "*batch_and_output out_channels"]:
    """Convolve every channel with filters of its own: `conv` with as many groups as channels.

    Args:
        x: Map, `(*batch, *spatial, in_channels)`.
        kernel: `(*window, 1, in_channels * multiplier)`; filters of one channel stand side by side.
        bias: `(out_channels,)`, or None.
        strides: As in `conv`.
        padding: As in `conv`.
        padding_mode: As in `conv`.
        dilation: As in `conv`.

    Returns:
        Map, `(*batch, *output, in_channels * multiplier)`.

    Raises:
        ValueError: Shapes or sizes that do not fit.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        >>> depthwise_conv(jnp.ones((8, 8, 3)), jnp.ones((3, 3, 1, 6))).shape
        (8, 8, 6)

    Reference:
        Chollet, "Xception", 2017; Howard et al., "MobileNets", 2017.
    """
    return conv(
        x,
        kernel,
        bias,
        strides=strides,
        padding=padding,
        padding_mode=padding_mode,
        dilation=dilation,
        groups=jnp.shape(x)[-1],
    )


def conv_transpose(
    x: Num[Array, "*batch_and_spatial in_channels"],
    kernel: Num[Array, "*window in_per_group out_channels"],
    bias: Num[Array, " bias_channels"] | None = None,
    *,
    strides: win.Sizes = 1,
    padding: win.Padding = "SAME",
    dilation: win.Sizes = 1,
    output_padding: win.Sizes = 0,
    groups: int = 1,
) -> Num[Array, "*batch_and_output out_channels"]:
    """Scatter a kernel from every position: the adjoint of `conv` in its input.

    `y[S i + D p - low, o] += kernel[p, c, o] x[i, c]`, the kernel unflipped, as in PyTorch and ONNX
    (`lax.conv_transpose` flips). With channels named the other way, `<conv(u, k), v> = <u, conv_transpose(v, k')>`
    where `k'` is `k` with its channel axes swapped.

    Args:
        x: Map, `(*batch, *spatial, in_channels)`.
        kernel: `(*window, in_channels // groups, out_channels)`.
        bias: `(out_channels,)`, or None.
        strides: Steps between two windows on the output.
        padding: Cropped from the output: sizes are `S (N - 1) + D (F - 1) + 1 - low - high + output_padding`;
            `"SAME"` gives `S N`, and crops what `conv` would pad there.
        dilation: Distance between two taps on the output.
        output_padding: Positions added after the output, since several input sizes of a strided `conv` share one
            output size; less than the stride or the dilation.
        groups: Number of groups that channels are split into.

    Returns:
        Map, `(*batch, *output, out_channels)`, of x's dtype.

    Raises:
        ValueError: Shapes or sizes that do not fit.
        TypeError: Arrays that are not floating point, or of different types.

    Example:
        >>> conv_transpose(jnp.ones((2, 1)), jnp.array([1., 2., 3.]).reshape(3, 1, 1), strides=2, padding=0)[:, 0]
        Array([1., 2., 4., 2., 3.], dtype=float32)

    Reference:
        Zeiler et al., "Deconvolutional networks", 2010; Dumoulin and Visin, 2016, section 4.
    """
    x, kernel, bias = win.floating(x=x, kernel=kernel, bias=bias)
    rank = kernel_rank(kernel)
    x, batch = win.merge_batch(x, rank)
    check_channels(x, kernel, bias, groups)
    sizes = win.per_axis("spatial size of `x`", x.shape[1:-1], rank)
    steps = win.per_axis("strides", strides, rank)
    gaps = win.per_axis("dilation", dilation, rank)
    extra = win.per_axis("output_padding", output_padding, rank, least=0)
    same = isinstance(padding, str) and padding.startswith("SAME")
    spans = [d * (w - 1) + 1 for w, d in zip(kernel.shape[:rank], gaps, strict=True)]
    wide = [s * n for s, n in zip(steps, sizes, strict=True)]
    crops = win.padding_amounts(padding, wide, spans, steps)
    borders = []
    for n, s, d, span, more, (low, high) in zip(sizes, steps, gaps, spans, extra, crops, strict=True):
        if more and (same or more >= max(s, d)):
            raise ValueError(
                f"`output_padding` (={output_padding}) must be 0 with `padding` {padding!r}, which fixes the size"
                if same
                else f"`output_padding` (={output_padding}) must be less than the stride ({s}) or the dilation ({d})"
            )
        scattered = s * (n - 1) + span
        size = s * n if same else scattered - low - high + more
        if size < 1:
            raise ValueError(f"`padding` (={padding!r}) crops the whole output: {scattered} - {low} - {high}")
        borders.append((span - 1 - low, size - scattered + low + span - 1))
    y = lax.conv_general_dilated(
        x,
        lax.rev(kernel, range(rank)),
        (1,) * rank,
        borders,
        lhs_dilation=steps,
        rhs_dilation=gaps,
        dimension_numbers=dimension_numbers(rank),
        feature_group_count=groups,
    )
    y = add_bias(y, bias)
    return y.reshape(*batch, *y.shape[1:])


def conv_matrix(
    kernel: Num[Array, "*window in_per_group out_channels"], input_shape: Sequence[int], **options
) -> Num[Array, "outputs inputs"]:
    """Write a convolution out as the dense layer that it is, its weights shared and mostly zero.

    `conv(x, kernel, **options).ravel() == conv_matrix(kernel, x.shape, **options) @ x.ravel()`.

    Args:
        kernel: `(*window, in_channels // groups, out_channels)`.
        input_shape: `(*spatial, in_channels)`, without batch axes.
        **options: Those of `conv`, but for `bias`.

    Returns:
        Matrix, `(outputs, inputs)`: it has inputs * outputs entries, so keep the map small.

    Raises:
        ValueError: Shapes or sizes that do not fit.

    Example:
        >>> conv_matrix(jnp.array([1., 2.]).reshape(2, 1, 1), (3, 1), padding="VALID")
        Array([[1., 2., 0.],
               [0., 1., 2.]], dtype=float32)

    Reference:
        CS231n, "Convolutional networks": implementation as matrix multiplication.
    """
    inputs = math.prod(input_shape)
    basis = jnp.eye(inputs, dtype=kernel.dtype).reshape(inputs, *input_shape)
    return jax.vmap(lambda e: conv(e, kernel, **options).ravel(), out_axes=1)(basis)


def dense_to_conv(
    kernel: Num[Array, "inputs outputs"], window: Sequence[int]
) -> Num[Array, "*window in_channels outputs"]:
    """Turn a dense layer over a flattened map into the convolution whose window is the whole map (F = N).

    Args:
        kernel: Dense kernel, `(prod(window) * in_channels, outputs)`.
        window: Spatial sizes of the map that the dense layer reads.

    Returns:
        Convolution kernel, `(*window, in_channels, outputs)`; use it with `padding="VALID"`. On a larger map it
        slides, one dense layer at every position. `reshape(-1, outputs)` is the way back.

    Raises:
        ValueError: A kernel whose rows the window's positions do not divide.

    Example:
        >>> x, dense_kernel = jnp.ones((4, 4, 3)), jnp.ones((48, 10))
        >>> conv(x, dense_to_conv(dense_kernel, (4, 4)), padding="VALID").shape
        (1, 1, 10)

    Reference:
        CS231n, "Convolutional networks": converting fully connected layers to convolutional layers.
    """
    window = win.window_sizes(window)
    positions = math.prod(window)
    if kernel.ndim != 2 or kernel.shape[0] % positions:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be (inputs, outputs) with inputs a multiple of the {positions} "
            f"positions of `window` (={window})"
        )
    return kernel.reshape(*window, kernel.shape[0] // positions, kernel.shape[1])


def dimension_numbers(rank: int) -> lax.ConvDimensionNumbers:
    """Return the channels-last layout that XLA's fast CPU convolution takes: NHWC, HWIO, NHWC.

    Args:
        rank: Number of spatial axes.

    Returns:
        `lax.ConvDimensionNumbers` of positions.

    Example:
        >>> dimension_numbers(2).lhs_spec, dimension_numbers(2).rhs_spec
        ((0, 3, 1, 2), (3, 2, 0, 1))
    """
    maps = (0, rank + 1, *range(1, rank + 1))
    return lax.ConvDimensionNumbers(maps, (rank + 1, rank, *range(rank)), maps)


def kernel_rank(kernel: Array) -> int:
    """Return a kernel's number of spatial axes, 1 to 3.

    Args:
        kernel: `(*window, in_channels // groups, out_channels)`.

    Returns:
        The rank.

    Raises:
        ValueError: A kernel of any other number of axes.

    Example:
        >>> kernel_rank(jnp.ones((3, 3, 1, 8)))
        2
    """
    rank = kernel.ndim - 2
    if rank not in (1, 2, 3):
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) must be (*window, in_channels // groups, out_channels) with 1 to 3 "
            f"window axes, got {kernel.ndim} axes in all"
        )
    return rank


def check_channels(x: Array, kernel: Array, bias: Array | None, groups: int) -> None:
    """Refuse channels that do not fit a kernel.

    Args:
        x: Map, `(*batch, *spatial, in_channels)`.
        kernel: `(*window, in_channels // groups, out_channels)`.
        bias: `(out_channels,)`, or None.
        groups: Number of groups.

    Raises:
        ValueError: `groups` that does not divide, or channels that differ.

    Example:
        >>> check_channels(jnp.ones((8, 8, 4)), jnp.ones((3, 3, 2, 6)), None, 2)
    """
    inputs, (in_per_group, outputs) = x.shape[-1], kernel.shape[-2:]
    win.per_axis("groups", groups, 1)
    for name, channels in (("in_channels", inputs), ("out_channels", outputs)):
        if channels % groups:
            raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={groups})")
    if in_per_group * groups != inputs:
        raise ValueError(
            f"`kernel` (shape {kernel.shape}) reads {in_per_group} channels in each of {groups} groups, "
            f"{in_per_group * groups} in all, but `x` has {inputs}; kernels are (*window, in_channels // groups, "
            "out_channels)"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"`bias` (shape {bias.shape}) must be ({outputs},), one an output channel")
