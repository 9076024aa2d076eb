"""How stored images become the numbers that a network sees."""

from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK = 2**20  # values that are widened to float64 at once


@dataclass(frozen=True)
class Preprocessing:
    """Scale, then standardise each channel: y = (x * scale - mean) / std, in float32.

    `dataclasses.asdict` gives what JSON can hold, and `Preprocessing(**values)` takes it back.

    Args:
        scale: Multiplies the stored values (1/255 for bytes).
        mean: Mean of the scaled training values, one a channel.
        std: Their standard deviation, one a channel, positive.

    Raises:
        ValueError: `mean` and `std` differ in length, or a `std` is not positive.

    Example:
        >>> preprocessing = Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,))
        >>> preprocessing(np.full((1, 2, 2, 1), 255, np.uint8)).ravel()
        array([2., 2., 2., 2.], dtype=float32)
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON has lists only
        object.__setattr__(self, "std", tuple(self.std))
        if len(self.mean) != len(self.std):
            raise ValueError(f"`mean` has {len(self.mean)} channels and `std` {len(self.std)}: give one of each")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"`std` (={self.std}) must be positive")

    def __call__(self, x: Any) -> Any:
        """Return the standardised images.

        Args:
            x: Stored images, a NumPy or JAX array of any type, shape (..., channels); under `jax.jit` too.

        Returns:
            The same kind of array, float32, of the same shape.

        Raises:
            ValueError: The images have another number of channels.
        """
        if x.shape[-1:] != (len(self.mean),):
            raise ValueError(f"images of shape {x.shape} do not end in {len(self.mean)} channels")
        scaled = x.astype("float32") * np.float32(self.scale)
        return (scaled - np.asarray(self.mean, "float32")) / np.asarray(self.std, "float32")


def channel_sums(inputs: np.ndarray) -> np.ndarray:
    """Return each example's sum and sum of squares per channel: all that a mean and a deviation need.

    Stored beside the images, they make the statistics of any training split a matter of milliseconds. In
    float64 they are exact for whole numbers, so no order of summation changes a bit of the result.

    Args:
        inputs: Images, shape (n, *spatial, channels).

    Returns:
        Sums and sums of squares, shape (n, 2, channels), float64.

    Example:
        >>> channel_sums(np.array([[[1, 10], [2, 20]]])).tolist()
        [[[3.0, 30.0], [5.0, 500.0]]]
    """
    flat = inputs.reshape(len(inputs), -1, inputs.shape[-1])
    sums = np.empty((len(inputs), 2, inputs.shape[-1]))
    chunk = max(1, _CHUNK // max(1, flat[:1].size))
    for start in range(0, len(inputs), chunk):
        block = flat[start : start + chunk].astype(np.float64)
        sums[start : start + chunk, 0] = block.sum(axis=1)
        sums[start : start + chunk, 1] = np.square(block, out=block).sum(axis=1)
    return sums


def fit_preprocessing(sums: np.ndarray, pixels: int, *, scale: float) -> Preprocessing:
    """Return the preprocessing that gives each channel of a training split mean 0 and deviation 1.

    Args:
        sums: `channel_sums` of the training examples, shape (n, 2, channels).
        pixels: Pixels of one image.
        scale: What the stored values are multiplied by first.

    Returns:
        The preprocessing. A channel that never changes keeps deviation 1.

    Example:
        >>> inputs = np.array([[[0], [2]]], np.uint8)
        >>> fit_preprocessing(channel_sums(inputs), 2, scale=0.5)
        Preprocessing(scale=0.5, mean=(0.5,), std=(0.5,))
    """
    mean, square = sums.sum(axis=0) / (len(sums) * pixels)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std > 0, std, 1 / scale)
    return Preprocessing(scale, tuple((mean * scale).tolist()), tuple((std * scale).tolist()))
