"""Which images a folder holds: the classes are folders, and so are the splits where there are any.

    DIR/cat/*.jpg, DIR/dog/*.jpg                              shares are held out for validation and test
    DIR/train/cat/*.jpg, DIR/val/cat/*.jpg, DIR/test/...      what is not there is held out from train

A folder has splits where one of its folders is `train` and all others are `val` (or `valid`, `validation`) or `test`.
All splits have the same classes. Names in hidden files' fashion (.name) are passed over, and beside folders files that
are no images by their suffix. Links are followed, wherever they lead: a link is its owner's word that the image belongs
to the set. Everything is sorted by the bytes of its name, which no language of a machine changes.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcnn.data.source import refuse

_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
}  # fmt: skip

Found = list[tuple[str, os.stat_result]]
Faults = list[tuple[str, str]]


class Listing(NamedTuple):
    """Images by split."""

    classes: tuple[str, ...]
    names: dict[str, list[str]]
    """Split to the files' names below the folder."""
    targets: dict[str, np.ndarray]
    """Split to classes, int32."""
    digest: str
    """SHA-256 of all names, sizes and times of change."""


def list_images(root: Path) -> Listing:
    """List the images of a folder.

    Args:
        root: The folder.

    Returns:
        Names and classes, in an order that depends on the names alone.

    Raises:
        FileNotFoundError: The folder is not there.
        ValueError: It is empty or laid out in another way, or holds something else than files.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder: `folder:DIR` names one with a folder of images for each class")
    folders, files = _entries(root)
    if lost := [name for name in files if Path(name).suffix.lower() in SUFFIXES]:
        refuse([(str(root / name), "an image beside the folders: move it into that of its class") for name in lost])
    if not folders:
        raise ValueError(f"{root} holds no folders: expected one folder of images for each class, or train and test")
    split = _is_split(root, folders)
    parts = {name: _classes(root / name) for name in folders} if split else {"": folders}
    if split:
        _check_splits(root, parts)
    classes = parts["train"] if split else folders
    if len(classes) < 2:
        where = root / "train" if split else root
        raise ValueError(f"{where} holds one class, {classes[0]!r}; expected a folder for each of two or more")
    refuse([(ascii(name), "a class's name must be UTF-8") for name in classes if not _is_utf8(name)])
    found = {_SPLITS[part] if split else "train": _images(root, part, classes) for part in parts}
    refuse([fault for _, _, faults in found.values() for fault in faults])
    digest = hashlib.sha256()
    for images, _, _ in found.values():
        for name, facts in images:
            digest.update(os.fsencode(name) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return Listing(
        tuple(classes),
        {part: [name for name, _ in images] for part, (images, _, _) in found.items()},
        {part: targets for part, (_, targets, _) in found.items()},
        digest.hexdigest(),
    )


def _is_split(root: Path, folders: list[str]) -> bool:
    """Tell whether folders are splits; beside others, one named so that holds no folders is a class of that name."""
    others = [name for name in folders if name not in _SPLITS]
    if "train" in folders and not others:
        return True
    named = [name for name in folders if name in _SPLITS and _entries(root / name)[0]]
    if named and others:
        raise ValueError(
            f"{root} holds {named[0]}, a split with folders of its own, beside {others[0]!r}: expected train and test, "
            "or a folder of images for each class"
        )
    if named:
        raise ValueError(
            f"{root} holds {' and '.join(folders)}, but no train: expected train, and test if there is one"
        )
    return False


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of folders and of everything else, hidden ones left out, each sorted by bytes."""
    try:
        with os.scandir(folder) as entries:
            seen = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ValueError(f"{folder} cannot be read ({error.strerror})") from error
    seen.sort(key=lambda entry: os.fsencode(entry[0]))
    return [name for name, is_folder in seen if is_folder], [name for name, is_folder in seen if not is_folder]


def _classes(folder: Path) -> list[str]:
    folders, files = _entries(folder)
    if not folders:
        what = "only files" if files else "nothing"
        raise ValueError(f"{folder} holds {what}; expected one folder of images for each class")
    return folders


def _check_splits(root: Path, parts: dict[str, list[str]]) -> None:
    if len({_SPLITS[name] for name in parts}) < len(parts):
        raise ValueError(f"{root} holds {' and '.join(name for name in parts if name.startswith('val'))}: keep one")
    train = set(parts["train"])
    for name, classes in parts.items():
        for here, other, others in ((set(classes), "train", train), (train, name, set(classes))):
            if lacking := sorted(here - others):
                holder = name if other == "train" else "train"
                more = f" (and {len(lacking) - 1:,} more)" if len(lacking) > 1 else ""
                raise ValueError(f"{root / other} lacks the class {lacking[0]!r}{more} that {root / holder} has")


def _images(root: Path, part: str, classes: list[str]) -> tuple[Found, np.ndarray, Faults]:
    """Return the files of one split, their classes, and what is no file."""
    found: Found = []
    faults: Faults = []
    counts = []
    for label in classes:
        before = len(found) + len(faults)
        names: list[tuple[str, os.DirEntry[str]]] = []
        try:
            with os.scandir(root / part / label) as entries:
                names += [(entry.name, entry) for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            faults.append((str(root / part / label), f"cannot be read ({error.strerror})"))
        names.sort(key=lambda named: os.fsencode(named[0]))
        held = len(found)
        for name, entry in names:
            try:
                facts = entry.stat()
            except OSError as error:
                what = "a link that leads nowhere" if entry.is_symlink() else f"cannot be read ({error.strerror})"
                faults.append((entry.path, what))
                continue
            if stat.S_ISREG(facts.st_mode):
                found.append((os.path.join(part, label, name), facts))
            elif stat.S_ISDIR(facts.st_mode):
                faults.append((entry.path, "a folder within a class: expected images only"))
            else:
                faults.append((entry.path, "no regular file"))
        if len(found) + len(faults) == before:
            faults.append((str(root / part / label), "holds no images: put some in, or remove it"))
        counts.append(len(found) - held)
    return found, np.repeat(np.arange(len(classes), dtype=np.int32), counts), faults


def _is_utf8(name: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in name)
