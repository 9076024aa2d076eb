import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import cache as module

ARRAYS = {"inputs": np.arange(24, dtype=np.uint8).reshape(4, 3, 2), "targets": np.array([1, 0, 2, 1], np.int32)}
SOURCE = [["/somewhere", 10, 20]]


FACTS = {"classes": ["no", "yes \u4e2d"], "scale": 0.1}


def drained(build: Generator) -> module.Prepared:
    while True:
        try:
            next(build)
        except StopIteration as end:
            return end.value


def builds(folder: Path) -> Generator:
    yield "half"
    return module.Prepared(ARRAYS, FACTS)


def write() -> module.Prepared:
    return drained(module.write("set", SOURCE, builds))


def assert_whole(prepared: module.Prepared | None) -> None:
    assert prepared is not None
    arrays, facts = prepared
    assert facts == FACTS
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name], strict=True)


def test_what_is_written_is_read_memory_mapped(cache: Path) -> None:
    assert module.read("set", SOURCE) is None
    assert_whole(write())
    prepared = module.read("set", SOURCE, digests=True)
    assert_whole(prepared)
    assert prepared is not None
    assert isinstance(prepared.arrays["inputs"], np.memmap)
    assert not prepared.arrays["inputs"].flags.writeable
    assert [path.name for path in cache.iterdir()] == ["set"]


def test_another_source_is_another_set() -> None:
    write()
    assert module.read("set", [["/somewhere", 10, 21]]) is None
    assert_whole(module.read("set", []))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def append(folder: Path) -> None:
    file = folder / "inputs.npy"
    file.write_bytes(file.read_bytes() + b"\0")


def edit_manifest(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: truncate(folder / "inputs.npy"),
        append,
        lambda folder: (folder / "targets.npy").unlink(),
        lambda folder: (folder / "inputs.npy").write_bytes(bytes((folder / "inputs.npy").stat().st_size)),
        lambda folder: truncate(folder / "manifest.json"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"),
        edit_manifest(format=0),
        edit_manifest(arrays=3),
        edit_manifest(facts=3),
        lambda folder: np.save(folder / "inputs.npy", ARRAYS["inputs"].reshape(3, 4, 2)),
        lambda folder: np.save(folder / "inputs.npy", ARRAYS["inputs"].astype(np.int8)),
    ],
)
def test_damage_is_found_and_made_good(damage: Callable[[Path], object], cache: Path) -> None:
    write()
    damage(cache / "set")
    assert module.read("set", SOURCE) is None
    assert_whole(write())
    assert_whole(module.read("set", SOURCE))
    assert [path.name for path in cache.iterdir()] == ["set"]


def test_digests_find_a_flipped_bit(cache: Path) -> None:
    write()
    content = bytearray((cache / "set" / "inputs.npy").read_bytes())
    content[-1] ^= 1
    (cache / "set" / "inputs.npy").write_bytes(content)
    assert module.read("set", SOURCE) is not None
    assert module.read("set", SOURCE, digests=True) is None


def test_what_a_build_writes_itself_is_kept_as_it_is(cache: Path) -> None:
    def build(folder: Path) -> Generator:
        yield "half"
        np.save(folder / "inputs.npy", ARRAYS["inputs"])
        before = (folder / "inputs.npy").stat().st_ino
        yield before
        return module.Prepared({**ARRAYS, "inputs": np.load(folder / "inputs.npy", mmap_mode="r")}, FACTS)

    writing = module.write("set", SOURCE, build)
    assert next(writing) == "half"
    inode = next(writing)
    assert_whole(drained(writing))
    assert (cache / "set" / "inputs.npy").stat().st_ino == inode


def test_a_build_that_is_abandoned_leaves_nothing(cache: Path) -> None:
    writing = module.write("set", SOURCE, builds)
    next(writing)
    writing.close()
    assert list(cache.iterdir()) == []


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    write()

    def build(folder: Path) -> Generator:
        (folder / "part").write_text("half")
        yield "half"
        raise ValueError("bad source")

    with pytest.raises(ValueError, match="bad source"):
        drained(module.write("set", SOURCE, build))
    assert [path.name for path in cache.iterdir()] == ["set"]
    assert_whole(module.read("set", SOURCE))


def test_without_a_writable_place_the_arrays_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXCNN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be written .* JAXCNN_CACHE") as warned:
        assert_whole(write())
    assert "\n" not in str(warned[0].message)


def test_a_full_disk_keeps_the_arrays_in_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert_whole(write())
    assert list(cache.iterdir()) == []


def test_leftovers_of_killed_processes_go_after_an_hour(cache: Path) -> None:
    for name in (".set.old", ".other.old", ".set.young", ".set.busy"):
        (cache / name / "tfds").mkdir(parents=True)
        (cache / name / "tfds" / "part").write_text("half")
        if name != ".set.young":
            for place in ("", "tfds") if name == ".set.busy" else ("", "tfds", "tfds/part"):
                os.utime(cache / name / place, (time.time() - 7200,) * 2)
    write()
    assert {path.name for path in cache.iterdir()} == {"set", ".set.young", ".set.busy"}


def test_processes_that_prepare_one_set_at_once_all_get_it(cache: Path) -> None:
    code = (
        "import sys, time; from jaxcnn import data\n"
        "time.sleep(max(0, float(sys.argv[1]) - time.time()))\n"
        "from jaxcnn.data import cache\n"
        "from jaxcnn.data.registry import _drain\n"
        "from jaxcnn.data.synthetic import find\n"
        "from jaxcnn.config import DataConfig\n"
        "for _ in range(5):\n"
        "    prepared = _drain(cache.write('set', [], find('8x8x1', DataConfig()).build))\n"
        "    assert int(prepared.arrays['test_targets'].sum()) == 2250\n"
    )
    start = str(time.time() + 1)
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code, start]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [path.name for path in cache.iterdir()] == ["set"]
    assert module.read("set", [], digests=True) is not None


def test_a_set_that_a_third_process_is_replacing_counts_as_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def beaten(self: Path, target: Path) -> Path:
        if target == cache / "set":  # another's folder stood there, and the third has moved it out of the way since
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", beaten)
    assert_whole(write())
    assert list(cache.iterdir()) == []
