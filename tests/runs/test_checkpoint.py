import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import training
from jaxcnn.runs import RunWriteError, checkpoint, manifest


def tree(scale: float = 1.0) -> dict:
    return {
        "kernel": scale * jnp.arange(6.0).reshape(2, 3),
        "half": jnp.full(3, scale, jnp.bfloat16),
        "blocks": [{"bias": jnp.float32(scale)}, {"bias": -jnp.float32(scale)}],
        "empty": {},
        "key": jax.random.key(7),
    }


def same(a, b) -> bool:
    def bits(leaf) -> bytes:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    return jax.tree.structure(a) == jax.tree.structure(b) and list(map(bits, jax.tree.leaves(a))) == list(
        map(bits, jax.tree.leaves(b))
    )


def test_what_was_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    facts = {"epoch": 3, "best_value": 0.1, "best_epoch": None}
    checkpoint.save(tmp_path / "5", {"one": tree(0.3), "two": {"x": jnp.ones(2)}}, facts).result()
    restored = checkpoint.restore(tmp_path / "5", {"one": tree(0.0)})
    assert same(restored["one"], tree(0.3))
    assert checkpoint.read_facts(tmp_path / "5") == facts
    assert checkpoint.exists(tmp_path / "5")
    assert not list(tmp_path.rglob("*.pkl"))


def test_an_optimizer_state_comes_back(tmp_path: Path) -> None:
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    state = training.create_state(params, {}, optax.adamw(0.1), jax.random.key(0))
    checkpoint.save(tmp_path / "0", {"state": state}, {}).result()
    assert same(checkpoint.restore(tmp_path / "0", {"state": state})["state"], state)


def test_memory_may_be_donated_while_it_is_saved(tmp_path: Path) -> None:
    overwrite = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    x = jnp.ones((1000, 1000))
    saving = checkpoint.save(tmp_path / "0", {"x": {"x": x}}, {})
    x = jax.block_until_ready(overwrite(x))
    saving.result()
    assert float(checkpoint.restore(tmp_path / "0", {"x": {"x": x}})["x"]["x"].min()) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": jnp.zeros((3, 2))}, r"`kernel` is float32\[2, 3\] there, float32\[3, 2\] is expected"),
        ({"kernel": jnp.zeros((2, 3), jnp.bfloat16)}, r"`kernel` is float32\[2, 3\] there, bfloat16\[2, 3\]"),
        ({"other": jnp.zeros(1)}, r"`other` is nothing there, float32\[1\] is expected"),
        ({"half": {}}, r"`half` is bfloat16\[3\] there, nothing is expected"),
    ],
)
def test_another_structure_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    checkpoint.save(tmp_path / "5", {"one": tree()}, {}).result()
    with pytest.raises(ValueError, match=message):
        checkpoint.restore(tmp_path / "5", {"one": tree() | changes})


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    assert not checkpoint.exists(tmp_path / "4")
    assert not checkpoint.exists(tmp_path / "5")


@pytest.mark.parametrize(
    ("part", "text", "what"),
    [
        ("arrays/one", None, "arrays/one/_METADATA is missing"),
        ("arrays/one/_METADATA", None, "arrays/one/_METADATA is missing"),
        ("arrays/one/_METADATA", "{", "arrays/one/_METADATA has 1 bytes, [0-9,]+ were written"),
        ("arrays/one/d", None, "arrays/one/d/[0-9a-f]+ is missing"),
        ("arrays/one/stranger", "x", "arrays/one/stranger is not in its manifest"),
        ("progress.json", "{", "progress.json has 1 bytes"),
        ("manifest.json", "{", "its manifest.json cannot be read"),
        ("manifest.json", "[]", "its manifest.json cannot be read"),
        ("manifest.json", None, "it has no manifest.json"),
        ("manifest.json", '{"format": 2, "checkpoint": "5", "files": {}}', "its manifest.json is of format 2"),
        (
            "manifest.json",
            '{"format": 1, "checkpoint": "7", "files": {}}',
            "its manifest.json is of the checkpoint '7'",
        ),
        ("manifest.json", '{"format": 1, "checkpoint": "5", "files": []}', "its manifest.json does not list files"),
        (
            "manifest.json",
            '{"format": 1, "checkpoint": "5", "files": {"x": 1}}',
            "its manifest.json does not list files",
        ),
    ],
)
def test_damage_is_told_in_one_line(tmp_path: Path, part: str, text: str | None, what: str) -> None:
    checkpoint.save(tmp_path / "5", {"one": tree()}, {"epoch": 3}).result()
    damaged = tmp_path / "5" / part
    if text is not None:
        damaged.write_text(text)
    elif damaged.is_dir():
        shutil.rmtree(damaged)
    else:
        damaged.unlink()
    with pytest.raises(ValueError, match=rf"/5 is damaged: {what}") as raised:
        checkpoint.restore(tmp_path / "5", {"one": tree()})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "arrays/../../secret", "arrays//one", "./x", ""])
def test_a_manifest_names_nothing_outside(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path / "5", {"one": tree()}, {"epoch": 3}).result()
    (tmp_path / "secret").write_text("x")
    manifest = json.loads((tmp_path / "5" / "manifest.json").read_text())
    manifest["files"][name] = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    (tmp_path / "5" / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint.damage(tmp_path / "5") == f"its manifest.json lists {name!r}, which is not in its folder"


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "5", {"one": tree()}, {"epoch": 3}).result()
    (tmp_path / "5" / "progress.json").rename(tmp_path / "elsewhere")
    (tmp_path / "5" / "progress.json").symlink_to(tmp_path / "elsewhere")
    assert checkpoint.damage(tmp_path / "5") == "progress.json is a symbolic link"
    (tmp_path / "5" / "progress.json").unlink()
    os.mkfifo(tmp_path / "5" / "progress.json")
    assert checkpoint.damage(tmp_path / "5") == "progress.json is no file"
    (tmp_path / "6").symlink_to(tmp_path / "5")
    assert checkpoint.damage(tmp_path / "6") == "it is no folder"


def test_other_files_are_stored_and_nothing_else_is_left(tmp_path: Path) -> None:
    told = []
    saving = checkpoint.save(
        tmp_path / "5", {"one": tree()}, {}, files={"metrics.jsonl": b"{}\n"}, after=lambda: told.append(1)
    )
    saving.result()
    assert (tmp_path / "5" / "metrics.jsonl").read_bytes() == b"{}\n"
    assert told == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["5"]
    listed = json.loads((tmp_path / "5" / "manifest.json").read_text())["files"]
    found = {path.relative_to(tmp_path / "5").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*listed, "manifest.json"}


def test_the_name_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    write = manifest.write

    def watched(folder: Path, name: str) -> None:
        seen.append((folder.name, checkpoint.exists(tmp_path / "5"), (folder / "arrays" / "one").is_dir()))
        write(folder, name)

    monkeypatch.setattr(manifest, "write", watched)
    checkpoint.save(tmp_path / "5", {"one": tree()}, {}).result()
    assert seen == [(".5.writing", False, True)]


@pytest.mark.parametrize("content", ["a whole checkpoint", "a damaged one", "a stranger", "a file", "nothing in it"])
def test_what_stood_there_gives_way(tmp_path: Path, content: str) -> None:
    path = tmp_path / "5"
    if content in ("a whole checkpoint", "a damaged one"):
        checkpoint.save(path, {"one": tree(0.1)}, {"epoch": 3}).result()
    if content == "a damaged one":
        (path / "progress.json").write_text("x")
    if content in ("a stranger", "nothing in it"):
        path.mkdir()
    if content == "a stranger":
        (path / "thesis.txt").write_text("years of work")
    if content == "a file":
        path.write_text("years of work")
    (tmp_path / "5.damaged").mkdir()
    checkpoint.save(path, {"one": tree(0.3)}, {"epoch": 4}).result()
    assert same(checkpoint.restore(path, {"one": tree()})["one"], tree(0.3))
    expected = {"5", "5.damaged"} | ({"5.damaged-2"} if content != "a whole checkpoint" else set())
    assert {entry.name for entry in tmp_path.iterdir()} == expected
    if content == "a stranger":
        assert (tmp_path / "5.damaged-2" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("fails", [False, True])
def test_one_that_is_replaced_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Between the two renames it has the name under which resuming finds it."""
    path, rename, seen = tmp_path / "5", Path.rename, []
    checkpoint.save(path, {"one": tree(0.1)}, {}).result()

    def watched(old: Path, new: Path) -> Path:
        seen.append((old.name, new.name))
        if fails and old.name == ".5.writing":
            raise OSError(errno.EIO, "Input/output error")
        return rename(old, new)

    monkeypatch.setattr(Path, "rename", watched)
    saving = checkpoint.save(path, {"one": tree(0.3)}, {})
    if fails:
        with pytest.raises(RunWriteError, match=r"/5: Input/output error"):
            saving.result()
    else:
        saving.result()
    assert seen[-3 if fails else -2 :][:2] == [("5", ".5.before"), (".5.writing", "5")]
    assert [entry.name for entry in tmp_path.iterdir()] == ["5"]
    assert same(checkpoint.restore(path, {"one": tree()})["one"], tree(0.1 if fails else 0.3))


def test_an_error_in_the_background_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "write", full)
    saving = checkpoint.save(tmp_path / "5", {"one": tree()}, {})
    with pytest.raises(RunWriteError, match=r"cannot write .*/5: No space left on device$"):
        saving.result()
    assert list(tmp_path.iterdir()) == []
