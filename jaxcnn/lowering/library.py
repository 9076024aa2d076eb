"""The compiled library: find it, check that this JAX can take it, load it, ask it."""

import ctypes
import functools
import importlib.util
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.lowering.describe import Refused

CONVOLUTION = "jaxcnn_convolution"
ONEDNN = "onednn-cpu-gomp"
# XLA's numbers for element types (XLA_FFI_DataType).
TYPES = {"float16": 10, "float32": 11, "bfloat16": 16}


class Unavailable(Exception):
    """The library cannot be used here; the message says why, and what would change it."""


class Library:
    """oneDNN and our handlers, loaded and registered with JAX.

    Args:
        path: The compiled library.

    Attributes:
        handle: What ctypes made of it.
        onednn: Version of oneDNN.
    """

    def __init__(self, path: Path):
        self.handle = handle = ctypes.CDLL(str(path))
        check_version(handle.jaxcnn_ffi_api_major(), handle.jaxcnn_ffi_api_minor())
        handle.jaxcnn_onednn_version.restype = ctypes.c_char_p
        self.onednn = handle.jaxcnn_onednn_version().decode()
        self._plan = handle.jaxcnn_convolution_plan
        self._plan.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int64,
        ]
        jax.ffi.register_ffi_target(CONVOLUTION, jax.ffi.pycapsule(handle.jaxcnn_convolution), platform="cpu")

    def plan(self, numbers: np.ndarray, dtypes: Sequence[Any], shapes: Sequence[Sequence[int]]) -> str:
        """Ask oneDNN for a convolution.

        Args:
            numbers: `Call.numbers`.
            dtypes: Of both arguments and of the result.
            shapes: Likewise.

        Returns:
            The name of oneDNN's implementation.

        Raises:
            Refused: It has none; the message is oneDNN's.
        """
        if unknown := [str(dtype) for dtype in dtypes if str(dtype) not in TYPES]:
            raise Refused(f"{unknown[0]} is not oneDNN's")
        types = np.array([TYPES[str(dtype)] for dtype in dtypes], np.int64)
        sizes = np.concatenate([np.asarray(shape, np.int64) for shape in shapes])
        answer = ctypes.create_string_buffer(256)
        if numbers.size > 1 and any(len(shape) != numbers[1] + 2 for shape in shapes):
            raise Refused("an array of a convolution has the wrong rank")
        fine = self._plan(numbers.ctypes.data, numbers.size, types.ctypes.data, sizes.ctypes.data, answer, 256)
        if not fine:
            raise Refused(answer.value.decode())
        return answer.value.decode()


@functools.cache
def load() -> Library:
    """Load the library, once, and register its handlers. Starts no backend.

    Returns:
        The library.

    Raises:
        Unavailable: It was not built, oneDNN is missing, or this JAX is older than its interface.
    """
    spec = importlib.util.find_spec("jaxcnn.lowering._native")
    if spec is None or spec.origin is None:
        raise Unavailable("the compiled part is not installed: install jaxcnn on Linux x86-64 with a C++ compiler")
    try:
        ctypes.CDLL(str(onednn_path()))  # ours finds it by its name, since it is loaded already
        return Library(Path(spec.origin))
    except OSError as error:
        raise Unavailable(f"the compiled part does not load: {error}") from error


def onednn_path() -> Path:
    """Return where the `onednn-cpu-gomp` package put its library."""
    try:
        files = metadata.files(ONEDNN) or []
    except metadata.PackageNotFoundError as error:
        raise Unavailable(f"oneDNN is not installed: pip install {ONEDNN}") from error
    for file in files:
        if file.name == "libdnnl.so.3":
            return Path(str(file.locate())).resolve()
    raise Unavailable(f"{ONEDNN} holds no libdnnl.so.3: pip install --force-reinstall {ONEDNN}")


def check_version(major: int, minor: int) -> None:
    """Check that this jaxlib takes handlers built for a version of XLA's foreign function interface.

    One built for a newer interface than jaxlib's takes the whole CPU backend down when that starts.

    Args:
        major: Of the interface that the library was built for.
        minor: Likewise.

    Raises:
        Unavailable: jaxlib's is older, or of another major version, or cannot be told.
    """
    header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    found = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header.read_text()))
    here = int(found["MAJOR"]), int(found["MINOR"])
    if here[0] != major or here[1] < minor:
        raise Unavailable(
            f"the compiled part needs XLA's foreign function interface {major}.{minor}, this jaxlib has "
            f"{here[0]}.{here[1]}: install a newer jax"
        )
