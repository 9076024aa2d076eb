"""Archives that nobody should have packed: read by name, in memory, and nothing else of them is touched."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from data.conftest import cifar_files, cifar_members, entry, packed

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data import archive
from jaxcnn.data.archive import read_members

FILES = {"a/x.bin": b"one", "a/y.bin": b"two" * 300}


def usual() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(entry(name, content), content) for name, content in FILES.items()]


HARMLESS: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "a parent's file": [(entry("../evil", b"evil"), b"evil")],
    "an absolute name": [(entry("/evil-by-name", b"evil"), b"evil")],
    "a link out": [(entry("a/z.bin", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")],
    "a hard link out": [(entry("a/z.bin", type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")],
    "a device": [(entry("a/z.bin", type=tarfile.CHRTYPE), b"")],
    "a pipe": [(entry("a/z.bin", type=tarfile.FIFOTYPE), b"")],
}


@pytest.mark.parametrize("kind", list(HARMLESS))
def test_other_entries_are_passed_over(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "archive.tar.gz"
    file.write_bytes(packed(HARMLESS[kind] + usual()))
    assert read_members(file, list(FILES)) == FILES
    assert [path.name for path in tmp_path.parent.rglob("*") if "evil" in path.name] == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["archive.tar.gz"]


REFUSED: dict[str, tuple[bytes, str]] = {
    "a link in its place": (
        packed([usual()[0], (entry("a/y.bin", type=tarfile.SYMTYPE, linkname="a/x.bin"), b"")]),
        "has no file a/y.bin in it",
    ),
    "a hard link in its place": (
        packed([usual()[0], (entry("a/y.bin", type=tarfile.LNKTYPE, linkname="a/x.bin"), b"")]),
        "has no file a/y.bin in it",
    ),
    "another name": (packed([usual()[0], (entry("./a/y.bin", b"two"), b"two")]), "has no file a/y.bin in it"),
    "a size of terabytes": (packed([(entry("a/x.bin", size=2**42), b"one"), usual()[1]]), "damaged tar|no file"),
    "a negative size": (
        gzip.compress(entry("a/x.bin").tobuf()[:124] + b"\xff" * 12 + bytes(376 + 1024)), "damaged tar archive|no file"
    ),
    "a long name of terabytes": (
        packed([(entry("././@LongLink", size=2**42, type=tarfile.GNUTYPE_LONGNAME), b"x"), *usual()]),
        "damaged tar archive|has no file",
    ),
    "more than it may unpack to": (
        packed([(entry("zeros", bytes(2**20)), bytes(2**20)), *usual()]), "unpacks to more than 65,536 bytes"
    ),
    "truncated": (packed(usual())[:-20], "truncated or damaged gzip file"),
    "not packed": (b"a/x.bin", "truncated or damaged gzip file"),
    "no archive": (gzip.compress(b"hello" * 300), "damaged tar archive"),
    "empty": (gzip.compress(b""), "damaged tar archive|has no file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_cannot_be_read_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    content, message = REFUSED[kind]
    file = tmp_path / "archive.tar.gz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_members(file, list(FILES), largest=2**16)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_there_is_room_for_the_originals() -> None:
    assert archive.LARGEST > 50_000 * 3073 + 10_000 * 3073  # CIFAR-10 and its headers are 184,380,000 bytes


Members = dict[str, bytes]


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    return lambda members: {key: change(value) if key.endswith(name) else value for key, value in members.items()}


@pytest.mark.filterwarnings("ignore:.*is not the original CIFAR")
@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("cifar10", changed("batch_3.bin", lambda c: c[:-1]), r"batch_3\.bin holds 30,729 bytes; .* records of 3,073"),
        ("cifar10", changed("batch_3.bin", lambda c: b""), r"batch_3\.bin holds 0 bytes"),
        ("cifar10", changed("batch_3.bin", lambda c: b"\x0a" + c[1:]), r"batch_3\.bin has label 10, expected 0\.\.9"),
        ("cifar10", changed("meta.txt", lambda c: c + b"more\n"), r"batches\.meta\.txt names 11 classes, expected 10"),
        ("cifar100", changed("train.bin", lambda c: b"\x14" + c[1:]), r"train\.bin has label 20, expected 0\.\.19"),
        ("cifar100", changed("test.bin", lambda c: c[:1] + b"\x64" + c[2:]), r"label 100, expected 0\.\.99"),
        ("cifar100", changed("fine_label_names.txt", lambda c: b"\xff\xfe"), "fine_label_names.txt names 1 classes"),
    ],
)
def test_a_wrong_file_of_cifar_is_named(
    name: str, damage: Callable[[Members], Members], message: str, tmp_path: Path, cache: Path
) -> None:
    file = tmp_path / next(iter(cifar_files(name)))
    file.write_bytes(packed([(entry(key, value), value) for key, value in damage(cifar_members(name)).items()]))
    with pytest.raises(ValueError, match=message) as error:
        data.load(DataConfig(name, directory=str(tmp_path)))
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []
