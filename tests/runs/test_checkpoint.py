import gc
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import training
from jaxcnn.runs import checkpoint


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves its tasks behind
@pytest.mark.parametrize(
    ("part", "text", "what"),
    [
        ("one", None, "its one"),
        ("one/_METADATA", None, "its one"),
        ("one/_METADATA", "{", "its one"),
        ("one/d", None, "its one"),
        ("one/manifest.ocdbt", "no manifest", "its one"),
        ("one/array_metadatas/process_0", "{", "its arrays"),
        ("_CHECKPOINT_METADATA", "{", "its progress"),
        ("_CHECKPOINT_METADATA", None, "its progress"),
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
    with pytest.raises(ValueError, match=rf"/5 is damaged \({what} cannot be read\): delete that folder") as raised:
        read_all(tmp_path / "5")
    assert "\n" not in str(raised.value)
    del raised
    gc.collect()  # here, where their warnings are expected


def read_all(path: Path) -> None:
    checkpoint.read_facts(path)
    checkpoint.restore(path, {"one": tree()})
