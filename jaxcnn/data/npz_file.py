"""Arrays of an .npz file that anybody may have written: none is a pickle, and none is larger than it says."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxcnn.config import DataConfig


def find_npz(name: str, argument: str, config: DataConfig) -> Path:
    """Return the file that a set's name carries, relative to `directory` if that is given."""
    if not argument:
        raise ValueError(f"`{name}` needs its file: give the name as {name}:FILE.npz")
    file = Path(config.directory or ".") / argument
    if not file.is_file():
        raise FileNotFoundError(f"{file} is no file: `{name}:FILE.npz` names an .npz file")
    return file


def field_names(file: Path) -> list[str]:
    """Return the names of a file's arrays.

    Args:
        file: An .npz file.

    Returns:
        Names.

    Raises:
        ValueError: It is no .npz file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # as below
        raise _damaged(file, error) from error


def read_fields(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays.

    Args:
        file: An .npz file.
        names: Which of its arrays.

    Returns:
        The arrays, by name.

    Raises:
        ValueError: The file is truncated, damaged or lacks an array, or one is an array of objects.
    """
    known = field_names(file)
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"{file}: lacks {', '.join(missing)}")
    try:
        with zipfile.ZipFile(file) as archive:
            objects = [name for name in names if _type(archive, name).hasobject]
        if not objects:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in names}
    except Exception as error:  # zipfile, zlib and NumPy raise anything on damaged bytes
        raise _damaged(file, error) from error
    raise ValueError(
        f"{file}: {', '.join(objects)} must hold numbers or texts; arrays of Python objects are not read, as they may "
        "run any program: save images of one size as `np.stack(images)`, and names as `np.array(names, str)`"
    )


def _type(archive: zipfile.ZipFile, name: str) -> np.dtype:
    """Return an array's type; raise where its header asks for more than there is: NumPy would take the memory first."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        needed = stream.tell() + math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and needed != info.file_size:
            raise ValueError(f"{name} holds {info.file_size:,} bytes where its header asks for {needed:,}")
        return dtype


def _damaged(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file}: truncated, damaged or no .npz file ({' '.join(str(error).split()) or type(error).__name__})"
    )
