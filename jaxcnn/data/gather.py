"""Many encoded images to arrays on disk, in threads, a few at a time: a set may be larger than the memory.

The headers of all images are read first: what is no image, too large, or of another size than the others is found
before anything is decoded. Then every image is decoded, and written where its place in the arranged set is.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from jaxcnn.config import DataConfig
from jaxcnn.data.arrange import plan, set_facts
from jaxcnn.data.cache import Arrays, CacheWriteError, Prepared
from jaxcnn.data.images import Header, read_header, read_image
from jaxcnn.data.policy import ImagePolicy
from jaxcnn.data.preprocessing import channel_sums
from jaxcnn.data.source import Build, Preparing, refuse

_BYTES = 2**23  # decoded at a time by one thread
_MOST = 256  # images, at most
_AHEAD = 2  # chunks a thread that wait to be written

T = TypeVar("T")
Opener = Callable[[], BinaryIO]
Faults = list[tuple[str, str]]


class Pictures(NamedTuple):
    """Encoded images of one split."""

    targets: np.ndarray
    """Classes, shape (n,), int32."""
    openers: Callable[[Sequence[int]], list[Opener]]
    """Numbers of images to what opens each; called from one thread alone."""
    name: Callable[[int], str]
    """What to call one in a message."""
    header: Header | None = None
    """That of all of them, where it is known; else headers are read."""


def gather(splits: dict[str, Pictures], classes: Sequence[str], config: DataConfig, where: str, folder: Path) -> Build:
    """Decode all images of a set into arrays, arranged.

    Args:
        splits: `train`, perhaps `validation` and `test`.
        classes: Their names.
        config: Its `size`, `resize` and `colour`.
        where: What to call the set in a message.
        folder: Where the arrays are written.

    Returns:
        The arrays, memory-mapped, and the facts; progress meanwhile.

    Raises:
        ValueError: An image is none, damaged or too large, or sizes differ and none is given.
        CacheWriteError: The disk is full.
    """
    policy, shape = yield from _settle(splits, config, where)
    orders = plan(splits["train"].targets, test="test" in splits)
    parts = {name: (pictures, np.arange(len(pictures.targets))) for name, pictures in splits.items()}
    parts["train"] = (splits["train"], orders.train)
    if orders.test is not None:
        parts["test"] = (splits["train"], orders.test)
    arrays: Arrays = {}
    faults: Faults = []
    done, total = 0, sum(len(order) for _, order in parts.values())
    for name, (pictures, order) in parts.items():
        sums = []
        with _Written(folder / f"{name}_inputs.npy", (len(order), *shape)) as file:
            for chunk, wrong in _decoded(pictures, order, policy, shape):
                faults += wrong
                if not faults:
                    file.write(chunk)
                    sums.append(channel_sums(chunk))
                done += len(chunk)
                yield Preparing("decoding", done, total)
        if not faults:  # else the others are looked at too, to be counted
            arrays[f"{name}_inputs"] = np.load(folder / f"{name}_inputs.npy", mmap_mode="r")
            arrays[f"{name}_targets"] = pictures.targets[order]
            if name == "train":
                arrays["train_sums"] = np.concatenate(sums)
    refuse(sorted(faults))
    return Prepared(arrays, set_facts(classes, images=policy))


def _settle(
    splits: dict[str, Pictures], config: DataConfig, where: str
) -> Generator[Preparing, None, tuple[ImagePolicy, tuple[int, int, int]]]:
    """Read all headers, and tell from them what images are brought to."""
    faults: Faults = []
    sizes: dict[tuple[int, int], str] = {}
    grey, done, total = True, 0, sum(len(pictures.targets) for pictures in splits.values())
    for pictures in splits.values():
        if pictures.header is not None:
            grey = grey and pictures.header.grey
            sizes.setdefault(pictures.header[:2], pictures.name(0))
            continue
        for start, chunk in _in_threads(pictures, np.arange(len(pictures.targets)), _header, _MOST):
            for number, found in enumerate(chunk, start):
                if isinstance(found, str):
                    faults.append((pictures.name(number), found))
                else:
                    grey = grey and found.grey
                    sizes.setdefault((found.height, found.width), pictures.name(number))
            done += len(chunk)
            yield Preparing("reading headers", done, total)
    refuse(faults)
    colour = config.colour if config.colour != "auto" else "grey" if grey else "rgb"
    policy = ImagePolicy(config.size, config.resize, colour)
    if config.size is None and len(sizes) > 1:
        first, second = list(sizes.items())[:2]
        told = " and ".join(f"{width} x {height} ({name})" for (height, width), name in (first, second))
        raise ValueError(
            f"{where}: images differ in size, such as {told}: give `--data.size N`, the side to which all are brought"
        )
    height, width = (config.size, config.size) if config.size is not None else next(iter(sizes))
    return policy, (height, width, policy.channels)


def _header(opener: Opener) -> Header:
    with opener() as stream:
        return read_header(stream)


def _decoded(
    pictures: Pictures, order: np.ndarray, policy: ImagePolicy, shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, Faults]]:
    """Yield the images chunk by chunk, in order, and what is wrong with those that are no more than zeros."""

    def decode(opener: Opener) -> np.ndarray:
        with opener() as stream:
            image = read_image(stream, policy)
        if image.shape != shape:  # what is written behind a PNG's pixels may turn it
            raise ValueError(f"decodes to shape {image.shape}, expected {shape}")
        return image

    most = max(1, min(_MOST, _BYTES // int(np.prod(shape))))
    for start, chunk in _in_threads(pictures, order, decode, most):
        wrong = [
            (pictures.name(int(order[start + k])), found) for k, found in enumerate(chunk) if isinstance(found, str)
        ]
        yield np.stack([np.zeros(shape, np.uint8) if isinstance(found, str) else found for found in chunk]), wrong


def _in_threads(
    pictures: Pictures, order: np.ndarray, work: Callable[[Opener], T], most: int
) -> Iterator[tuple[int, list[T | str]]]:
    """Yield for every chunk where it starts, and what came of each image: a result, or what was wrong."""

    def run(openers: list[Opener]) -> list[T | str]:
        return [_tried(work, opener) for opener in openers]

    threads = os.cpu_count() or 1
    waiting: deque[tuple[int, Future[list[T | str]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), most):
            waiting.append((start, pool.submit(run, pictures.openers(order[start : start + most].tolist()))))
            if len(waiting) > _AHEAD * threads:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def _finished(start: int, future: "Future[list[Any]]") -> tuple[int, list[Any]]:
    return start, future.result()


def _tried(work: Callable[[Opener], T], opener: Opener) -> T | str:
    try:
        return work(opener)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except MemoryError:
        return "cannot be read (not enough memory)"
    except ValueError as error:
        return str(error)


class _Written:
    """An .npy file of bytes, written from its first element to its last: unlike a map it tells of a full disk."""

    def __init__(self, path: Path, shape: tuple[int, ...]):
        self.path, self.shape = path, shape

    def __enter__(self) -> "_Written":
        self.stream = self.path.open("wb")
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self.stream, header)
        return self

    def write(self, chunk: np.ndarray) -> None:
        try:
            self.stream.write(chunk.tobytes())
            self.stream.flush()
        except OSError as error:
            raise CacheWriteError(
                f"{self.path.parents[1]}: {int(np.prod(self.shape)) / 1e6:,.0f} MB of images cannot be written "
                f"({error.strerror}): set JAXCNN_CACHE to a folder with room, or give a smaller `--data.size`"
            ) from error

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # all was flushed, or the disk is full, which `write` has told
            self.stream.close()
