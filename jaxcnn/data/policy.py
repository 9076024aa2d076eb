"""What images of any kind are brought to, as it is stored with a set; `jaxcnn.data.images` says how it is done."""

from dataclasses import dataclass
from typing import Literal

from jaxcnn.config import DataConfig

LARGEST_SIDE = 8192
"""As many pixels as an image may have that is read: see `jaxcnn.data.images`."""


@dataclass(frozen=True)
class ImagePolicy:
    """What images are brought to when they are read.

    Example:
        >>> ImagePolicy(size=64).resize
        'crop'
    """

    size: int | None = None
    """Side in pixels; None where all images have one size, and keep it."""
    resize: Literal["crop", "stretch", "pad"] = "crop"
    """How: see `jaxcnn.config.DataConfig`."""
    colour: Literal["rgb", "grey"] = "rgb"
    """Channels."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.colour == "grey" else 3


def check_options(config: DataConfig) -> None:
    """Raise where the size, the way or the colour that images are brought to is none."""
    if config.size is not None and (type(config.size) is not int or not 1 <= config.size <= LARGEST_SIDE):
        raise ValueError(f"`data.size` (={config.size!r}) must be a whole number of pixels, from 1 to {LARGEST_SIDE}")
    for name, known in (("resize", ("crop", "stretch", "pad")), ("colour", ("auto", "rgb", "grey"))):
        if getattr(config, name) not in known:
            raise ValueError(f"`data.{name}` (={getattr(config, name)!r}) must be one of {', '.join(known)}")
