"""The arithmetic of output sizes, without arrays."""

from typing import overload

from jaxcnn.functional import window as win


@overload
def output_size(
    size: int, *, window: int, strides: int = 1, padding: win.Padding = 0, dilation: int = 1, ceil_mode: bool = False
) -> int: ...
@overload
def output_size(
    size: tuple[int, ...],
    *,
    window: win.Sizes,
    strides: win.Sizes = 1,
    padding: win.Padding = 0,
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]: ...
def output_size(
    size: int | tuple[int, ...],
    *,
    window: win.Sizes,
    strides: win.Sizes = 1,
    padding: win.Padding = 0,
    dilation: win.Sizes = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, ...]:
    """Compute how many outputs a convolution or a pool has along its spatial axes.

    `floor((N - F + 2 P) / S) + 1` for a map of size N, a window F, padding P and stride S; a dilation D makes the
    window `D (F - 1) + 1` long.

    Args:
        size: N, an int for one axis, or one an axis.
        window: F, an int or one an axis.
        strides: S.
        padding: P; also `"VALID"`, `"SAME"`, `"SAME_LOWER"`, or one (low, high) an axis.
        dilation: D.
        ceil_mode: Round up, as a pool with that option does.

    Returns:
        An int, or one an axis.

    Raises:
        ValueError: A window that does not fit, or a size that is not positive.

    Example:
        The lecture's: a 32-pixel map under a 5-pixel window, and a stride of 3 that leaves a remainder.

        >>> output_size(32, window=5, padding=2), output_size(7, window=3, strides=3)
        (32, 2)

    Reference:
        CS231n, "Convolutional networks": spatial arrangement.
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    place = win.geometry(
        sizes,
        win.per_axis("window", window, len(sizes)),
        strides=strides,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
    return place.output[0] if isinstance(size, int) else place.output
