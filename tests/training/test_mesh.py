"""One device or many: the same training, divided; on eight virtual devices of a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec
from references.campaigns import record

from jaxcnn import training
from jaxcnn.training.mesh import _spec, check_batch, rows

TESTS = Path(__file__).parents[1]
MESHES = ["data=2", "model=2", "data=4", "data=2,model=2", "data=8", "data=4,model=2", "data=2,model=4", "model=8"]
QUICK = {
    "float64": ["data=4,model=2"],
    "mixed": ["data=4,model=2"],
    "streamed": ["data=8"],
    "float32": ["data=2"],
    "programs": [None, "data=4,model=2"],
    "moved": ["data=4,model=2", None],
}
WHOLE = {
    "float64": MESHES,
    "mixed": MESHES,
    "streamed": MESHES,
    "float32": MESHES,
    "programs": [None, *MESHES],
    "moved": [*MESHES, None, *reversed(MESHES)],
}


def on_eight_devices(asked: dict[str, Any]) -> dict[str, Any]:
    """Run the reference training on a process with eight devices."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-m", "references.many_devices", json.dumps(asked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(facts: dict[str, Any]) -> None:
    """What must hold on every mesh."""
    assert facts["devices"] == 8
    assert max(facts["float64"].values()) < 1e-9
    assert max(facts["mixed"].values()) < 1e-9, "examples are mixed with others than on one device"
    assert max(facts["float32"].values()) < 1e-5
    assert max(facts["streamed"].values()) == 0, "batches that are fed are not those that are gathered"
    assert all(facts["moved"]), "a checkpoint came back with other bits, or on other devices"
    alone = facts["programs"]["None"]
    for name, program in facts["programs"].items():
        check_program(name, program, alone, facts["tier"])


def check_program(name: str, program: dict[str, Any], alone: dict[str, Any], tier: str) -> None:
    """What the compiled steps of a mesh may exchange, and must save."""
    sizes = dict(part.split("=") for part in name.split(",")) if name != "None" else {}
    allowed = {*program["parameters"], "f32[]", "s32[]"}
    exchanged = {shape for shapes in program["exchanged"].values() for shape in shapes}
    assert exchanged <= allowed, f"{name}: devices exchange what is no parameter"
    gathered = program["exchanged"].keys() - {"all-reduce"}
    assert gathered <= ({"all-gather"} if "model" in sizes else set())
    assert bool(exchanged) == bool(sizes)
    if sizes:
        assert program["bytes"] < alone["bytes"], f"{name}: a device of many holds no less"
    if "model" in sizes:
        assert program["held"] < 1.2 * alone["held"] / int(sizes["model"])
    if tier == "onednn":
        assert program["convolutions"] == alone["convolutions"] > 0
        assert program["others"] == 0


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return on_eight_devices(QUICK)


def test_many_devices_train_as_one(facts: dict[str, Any]) -> None:
    check(facts)


def test_devices_draw_their_own_noise_and_agree_on_statistics(facts: dict[str, Any]) -> None:
    shared = facts["shared"]
    assert len(set(shared["noise"])) == 16
    assert shared["statistics"] == {"mean": 7.5, "seen": 2}


def test_prediction_on_a_mesh_is_exact_for_any_number_of_examples(facts: dict[str, Any]) -> None:
    assert facts["shared"]["predicted"] == [True] * 4


@pytest.mark.campaign
def test_every_mesh_of_eight_devices() -> None:
    facts = on_eight_devices(WHOLE)
    check(facts)
    errors = {f"error_{dtype}": facts[dtype] for dtype in ("float64", "mixed", "float32")}
    held = {name: {key: program[key] for key in ("held", "bytes")} for name, program in facts["programs"].items()}
    command = "pytest -m campaign -n0 tests/training/test_mesh.py"
    record("many_devices", command, **errors, device_bytes=held, checkpoints_moved=len(facts["moved"]))


@pytest.mark.parametrize(
    ("shape", "parts", "expected"),
    [
        ((3, 3, 16, 64), 2, (None, None, None, "model")),
        ((64, 16), 4, ("model",)),
        ((16, 16), 4, (None, "model")),
        ((6, 5), 4, ()),
        ((8,), 2, ()),
        ((), 2, ()),
        ((8, 8), 1, ()),
    ],
)
def test_the_longest_even_axis_of_a_parameter_is_cut(
    shape: tuple[int, ...], parts: int, expected: tuple[str | None, ...]
) -> None:
    assert _spec(shape, parts) == PartitionSpec(*expected)


@pytest.mark.parametrize("sizes", [None, "data=1", "data=1,model=1", "model=1"])
def test_one_device_is_no_mesh(sizes: str | None) -> None:
    assert training.make_mesh(sizes) is None


@pytest.mark.parametrize("sizes", ["", "data", "data=", "data=0", "data=-1", "data=2x", "rows=2", "data=2,data=2"])
def test_what_is_no_mesh_is_an_error(sizes: str) -> None:
    with pytest.raises(ValueError, match=r"`mesh` \(='.*'\) must be sizes of data and model, such as "):
        training.make_mesh(sizes)


def test_more_devices_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`mesh` \(='data=999'\) is 999 devices, and there (is|are) \d+"):
        training.make_mesh("data=999")


def test_a_batch_that_cannot_be_shared_is_an_error() -> None:
    mesh = AbstractMesh((4, 2), ("data", "model"))
    for batch, take in ((20, "16 or 24"), (4, "8")):
        with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be divisible by the 8 .*: take {take}"):
            check_batch("batch", batch, mesh)
    check_batch("batch", 16, mesh)


def test_one_device_takes_everything() -> None:
    data = np.arange(12.0).reshape(6, 2), np.arange(6)
    assert rows(None, 3) == slice(0, 3)
    images, labels = training.place(None, data, "chunk", batch=3)
    assert images.shape == (2, 3, 2)
    assert labels.tolist() == [[0, 1, 2], [3, 4, 5]]
    placed = training.place(None, data, "data")
    assert jax.tree.all(jax.tree.map(jnp.array_equal, placed, data))
    with pytest.raises(ValueError, match="6 examples are no multiple of 4"):
        training.place(None, data, "chunk", batch=4)
