"""Single operations as works: convolutions and pools, forward and backward."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxcnn import functional as F
from jaxcnn.benchmark.works import Work, draw, struct


@dataclass(frozen=True)
class ConvCase:
    """A convolution: sizes and channels of one image, and the kernel's window.

    Example:
        >>> ConvCase((32, 32), 64, 64).window
        (3, 3)
    """

    sizes: tuple[int, ...]
    inputs: int
    outputs: int
    window: tuple[int, ...] = (3, 3)
    strides: int = 1
    dilation: int = 1
    groups: int = 1


CONVOLUTIONS: Mapping[str, ConvCase] = {
    "3x3, first layer": ConvCase((32, 32), 3, 64),
    "3x3": ConvCase((32, 32), 64, 64),
    "3x3, small map": ConvCase((8, 8), 256, 256),
    "3x3, strided": ConvCase((32, 32), 64, 128, strides=2),
    "3x3, dilated": ConvCase((32, 32), 64, 64, dilation=2),
    "3x3, grouped": ConvCase((32, 32), 64, 64, groups=8),
    "depthwise": ConvCase((32, 32), 64, 64, groups=64),
    "1x1": ConvCase((32, 32), 64, 256, window=(1, 1)),
    "5x5, LeNet": ConvCase((28, 28), 1, 6, window=(5, 5)),
    "3, signal": ConvCase((1024,), 64, 64, window=(3,)),
    "3x3x3, volume": ConvCase((8, 8, 8), 32, 32, window=(3, 3, 3)),
}
DIRECTIONS = ("forward", "input gradient", "kernel gradient")
POOLS = ("max 2x2", "avg 2x2", "max 3x3 stride 2", "global max", "global avg")


def convolutions(batch: int, dtype: str, *, seed: int = 0, only: str | None = None) -> dict[str, Work]:
    """Return every case of `CONVOLUTIONS` in every direction, padded by SAME.

    Args:
        batch: Images.
        dtype: Of images, kernels and results.
        seed: Draws them.
        only: Text that the names must hold.

    Returns:
        Works by name.

    Example:
        >>> list(convolutions(2, "float32", only="depthwise"))
        ['depthwise forward', 'depthwise input gradient', 'depthwise kernel gradient']
    """
    works = {}
    for name, case in CONVOLUTIONS.items():
        for direction in DIRECTIONS:
            if only is None or only in f"{name} {direction}":
                works[f"{name} {direction}"] = _convolution(name, case, direction, batch, dtype, seed)
    return works


def _convolution(name: str, case: ConvCase, direction: str, batch: int, dtype: str, seed: int) -> Work:
    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return F.conv(x, kernel, padding="SAME", strides=case.strides, dilation=case.dilation, groups=case.groups)

    shapes = [
        struct(batch, *case.sizes, case.inputs, dtype=dtype),
        struct(*case.window, case.inputs // case.groups, case.outputs, dtype=dtype),
    ]
    y = jax.eval_shape(forward, *shapes)
    x, kernel, dy = draw(seed, *shapes, struct(*y.shape, dtype=dtype))
    facts = {
        "name": "conv", "case": name, "direction": direction, "batch": batch, "sizes": list(case.sizes),
        "channels": [case.inputs, case.outputs], "window": list(case.window), "dtype": dtype,
    }  # fmt: skip
    programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "forward": (lambda k, x: forward(x, k), (kernel, x)),
        "input gradient": (lambda k, dy: jax.linear_transpose(lambda x: forward(x, k), shapes[0])(dy)[0], (kernel, dy)),
        "kernel gradient": (lambda x, dy: jax.linear_transpose(lambda k: forward(x, k), shapes[1])(dy)[0], (x, dy)),
    }
    return Work(facts, *programs[direction], {"images_per_s": batch})


def pools(batch: int, dtype: str, *, seed: int = 0, only: str | None = None) -> dict[str, Work]:
    """Return every pool of `POOLS`, forward and backward, on 64 maps of 32x32.

    Args:
        batch: Images.
        dtype: Of images and results.
        seed: Draws them.
        only: Text that the names must hold.

    Returns:
        Works by name.

    Example:
        >>> list(pools(2, "float32", only="global avg"))
        ['global avg forward', 'global avg gradient']
    """
    functions: dict[str, Callable[[jax.Array], jax.Array]] = {
        "max 2x2": lambda x: F.max_pool(x, (2, 2)),
        "avg 2x2": lambda x: F.avg_pool(x, (2, 2)),
        "max 3x3 stride 2": lambda x: F.max_pool(x, (3, 3), strides=2, padding=1),
        "global max": F.global_max_pool,
        "global avg": F.global_avg_pool,
    }
    shape = struct(batch, 32, 32, 64, dtype=dtype)
    works = {}
    for name in POOLS:
        fn = functions[name]
        y = jax.eval_shape(fn, shape)
        x, dy = draw(seed, shape, struct(*y.shape, dtype=dtype))
        facts = {"name": "pool", "case": name, "batch": batch, "sizes": [32, 32], "channels": 64, "dtype": dtype}
        programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
            "forward": (fn, (x,)),
            "gradient": (lambda x, dy, fn=fn: jax.vjp(fn, x)[1](dy)[0], (x, dy)),
        }
        for direction, (program, args) in programs.items():
            if only is None or only in f"{name} {direction}":
                works[f"{name} {direction}"] = Work(
                    {**facts, "direction": direction}, program, args, {"images_per_s": batch}
                )
    return works
