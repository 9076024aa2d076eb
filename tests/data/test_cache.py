import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.data import cache as module

ARRAYS = {"inputs": np.arange(24, dtype=np.uint8).reshape(4, 3, 2), "targets": np.array([1, 0, 2, 1], np.int32)}
SOURCE = [["/somewhere", 10, 20]]


def write() -> module.Arrays:
    return module.write("set", SOURCE, lambda folder: ARRAYS)


def assert_whole(arrays: module.Arrays | None) -> None:
    assert arrays is not None
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name], strict=True)


def test_what_is_written_is_read_memory_mapped(cache: Path) -> None:
    assert module.read("set", SOURCE) is None
    assert_whole(write())
    arrays = module.read("set", SOURCE, digests=True)
    assert_whole(arrays)
    assert arrays is not None
    assert isinstance(arrays["inputs"], np.memmap)
    assert not arrays["inputs"].flags.writeable
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


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    write()

    def build(folder: Path) -> module.Arrays:
        (folder / "part").write_text("half")
        raise ValueError("bad source")

    with pytest.raises(ValueError, match="bad source"):
        module.write("set", SOURCE, build)
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
    old, young = cache / ".set.old", cache / ".set.young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    write()
    assert {path.name for path in cache.iterdir()} == {"set", ".set.young"}


def test_processes_that_prepare_one_set_at_once_all_get_it(cache: Path) -> None:
    code = (
        "import sys, time; from jaxcnn import data\n"
        "time.sleep(max(0, float(sys.argv[1]) - time.time()))\n"
        "from jaxcnn.data import cache\n"
        "from jaxcnn.data.synthetic import build\n"
        "for _ in range(5):\n"
        "    arrays = cache.write('set', [], lambda folder: build('8x8x1', (), folder))\n"
        "    assert int(arrays['test_targets'].sum()) == 2250\n"
    )
    start = str(time.time() + 1)
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code, start]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [path.name for path in cache.iterdir()] == ["set"]
    assert module.read("set", [], digests=True) is not None
