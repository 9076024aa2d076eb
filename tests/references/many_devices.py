"""A small training, to be run on one device or on many, in one process or in several."""

import json
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from jaxcnn import lowering, models, nn, training
from jaxcnn.config import AugmentConfig, LossConfig
from jaxcnn.runs import checkpoint
from jaxcnn.training.forward import forward, identity
from jaxcnn.training.mesh import make_mesh, rows
from jaxcnn.training.steps import TrainSteps

BATCH, CLASSES, EXAMPLES, DECAY = 16, 5, 48, 0.9
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05, momentum=0.9))
MOVED = AugmentConfig(flip="random", crop=1)
MIXED = replace(MOVED, mixup=0.5, cutmix=0.5)
COLLECTIVE = re.compile(r" = (.*?) (all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter)\S*\(")


class Training(NamedTuple):
    """Programs, and what they take."""

    train_steps: TrainSteps
    evaluate: jax.stages.Wrapped
    state: training.TrainState
    data: tuple[Any, Any]


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, of which some classes are rare."""
    random = np.random.default_rng(0)
    labels = np.minimum(random.integers(0, 9, EXAMPLES), CLASSES - 1)
    return random.integers(0, 256, (EXAMPLES, 8, 8, 3), np.uint8), labels.astype(np.int32)


def set_up(
    mesh: Mesh | None,
    dtype: str = "float32",
    *,
    batch: int = BATCH,
    width: int = 8,
    dropout: float = 0.0,
    changes: AugmentConfig = MOVED,
) -> Training:
    """Batch norm, class weights, clipping by the norm of all gradients, augmentation, an average: what is global."""
    with jax.enable_x64(False):  # layers are made in JAX's own type, and models for float32
        network = models.create(
            "small_cnn", num_classes=CLASSES, input_shape=(8, 8, 3), rngs=nnx.Rngs(0), width=width, dropout=dropout
        )
    apply, params, statistics = nn.split(network)
    params, statistics = jax.tree.map(lambda x: jnp.asarray(x, dtype), (params, statistics))
    data = examples()
    loss = training.make_loss(LossConfig(class_weights="balanced", label_smoothing=0.1), data[1], CLASSES)
    settled = {"prepare": lambda x: x / jnp.asarray(255, dtype) - 0.5, "batch": batch, "dtype": dtype, "mesh": mesh}
    augment = training.make_augment(changes, classes=CLASSES)
    metrics = {"accuracy": training.accuracy}
    state = training.create_state(params, statistics, OPTIMIZER, jax.random.key(1), ema=True)
    return Training(
        training.make_train_steps(apply, OPTIMIZER, loss, metrics=metrics, augment=augment, ema=DECAY, **settled),
        training.make_evaluate(apply, metrics={"loss": loss, **metrics}, **settled),
        training.place(mesh, state, "state"),
        training.place(mesh, data, "data"),
    )


def take(
    programs: Training, mesh: Mesh | None, *, steps: int, streamed: bool = False
) -> tuple[training.TrainState, dict[str, jax.Array]]:
    """Train for a few steps, on what lies on the devices or on batches that this process reads its rows of."""
    order = training.epoch_order(jax.random.key(2), EXAMPLES, BATCH, epoch=0)
    if not streamed:
        return programs.train_steps(programs.state, programs.data, order, start=0, count=steps)
    mine = np.asarray(order).reshape(-1, BATCH)[:steps, rows(mesh, BATCH)].ravel()
    chunk = training.place(mesh, tuple(array[mine] for array in examples()), "chunk", batch=BATCH)
    return programs.train_steps(programs.state, chunk, None, start=0, count=steps)


def after(
    mesh: Mesh | None, dtype: str, *, steps: int, streamed: bool = False, changes: AugmentConfig = MOVED
) -> dict[str, np.ndarray]:
    """Train for a few steps; return all of the state, by name, and what was measured."""
    programs = set_up(mesh, dtype, changes=changes)
    state, measured = take(programs, mesh, steps=steps, streamed=streamed)
    evaluated = programs.evaluate(state.ema, state.statistics, programs.data)
    return by_name({"state": named(state), "train": measured, "evaluated": evaluated})


def named(state: training.TrainState) -> dict[str, Any]:
    """Return all that steps change."""
    return {"params": state.params, "ema": state.ema, "statistics": state.statistics, "moments": state.opt_state}


def by_name(tree: Any) -> dict[str, np.ndarray]:
    """Return the whole of every leaf, wherever its parts lie."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): whole(leaf) for path, leaf in leaves}


def whole(leaf: jax.Array) -> np.ndarray:
    """Return an array with the parts that other processes hold."""
    if not leaf.is_fully_replicated and not leaf.is_fully_addressable:
        leaf = jax.jit(lambda x: x, out_shardings=leaf.sharding.update(spec=jax.P()))(leaf)
    return np.asarray(leaf)


def distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the largest difference, in parts of the largest value of the array."""
    assert one.keys() == other.keys()
    return max(
        float(np.abs(one[name] - other[name]).max() / max(1e-3, np.abs(other[name]).max()))
        for name in one
        if one[name].size
    )


def compiled(set_up: Training) -> jax.stages.Compiled:
    """Compile one step."""
    order = jnp.arange(BATCH, dtype=jnp.int32)

    def step(state: Any, data: Any) -> Any:
        return set_up.train_steps(state, data, order, start=0, count=1)

    return jax.jit(step, donate_argnums=0).lower(set_up.state, set_up.data).compile()


def collectives(program: jax.stages.Compiled) -> dict[str, set[str]]:
    """Return the shapes that devices exchange, by kind of operation."""
    found: dict[str, set[str]] = {}
    for line in program.as_text().splitlines():
        if match := re.search(
            r" = (.*?) (all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter)\S*\(", line
        ):
            found.setdefault(match[2], set()).update(re.findall(r"\w+\[[\d,]*\]", match[1]))
    return found


def compare(sizes: list[str], dtype: str, steps: int, *, streamed: bool) -> dict[str, float]:
    """Return, for every mesh, how far it comes from one device, or from where data that lie there bring it."""
    with jax.enable_x64(dtype == "float64"):
        alone = None if streamed else after(None, dtype, steps=steps)
        found = {}
        for size in sizes:
            mesh = make_mesh(size)
            other = after(mesh, dtype, steps=steps) if alone is None else alone
            found[size] = distance(after(mesh, dtype, steps=steps, streamed=streamed), other)
        return found


def mixed(sizes: list[str], steps: int) -> dict[str, float]:
    """Return how far meshes that mix examples come from one device: the two of a mixture may lie on two devices."""
    with jax.enable_x64(True):
        alone = after(None, "float64", steps=steps, changes=MIXED)
        return {
            f"{size} {'streamed' if streamed else 'resident'}": distance(
                after(make_mesh(size), "float64", steps=steps, streamed=streamed, changes=MIXED), alone
            )
            for size in sizes
            for streamed in (False, True)
        }


def shared(size: str) -> dict[str, Any]:
    """Return what devices do each on their own, and together."""
    mesh = make_mesh(size)

    def apply(params: Any, statistics: Any, x: jax.Array, /, *, training: bool, key: jax.Array | None) -> Any:
        noise = 0 * x if key is None else jax.random.uniform(key, x.shape)
        return x * params + noise, {"mean": x.mean(), "seen": statistics["seen"] + len(x)} if training else statistics

    assert mesh is not None
    statistics = {"mean": jnp.float32(0), "seen": jnp.int32(0)}
    network = jax.jit(forward(apply, prepare=identity, dtype="float32", mesh=mesh), static_argnames="training")
    x = jnp.arange(2.0 * mesh.size)
    noise, after = network(jnp.float32(0), statistics, x, training=True, key=jax.random.key(0))
    predict = training.make_predict(apply, batch=mesh.size, mesh=mesh)
    counts = (1, mesh.size - 1, mesh.size, 2 * mesh.size + 1)
    predicted = [predict(jnp.float32(2), statistics, jnp.arange(float(n))).tolist() for n in counts]
    return {
        "noise": noise.tolist(),
        "statistics": {name: value.item() for name, value in after.items()},
        "predicted": [values == [2.0 * i for i in range(n)] for n, values in zip(counts, predicted, strict=True)],
    }


def moved(sizes: list[str | None]) -> list[bool]:
    """Save on one mesh and restore on the next, in turn; tell where the restored bits, on the mesh, are the same."""
    mesh = make_mesh(sizes[0])
    programs = set_up(mesh)
    state, _ = take(programs, mesh, steps=1)
    expected, same = by_name(named(state)), []
    with tempfile.TemporaryDirectory() as folder:
        for step, size in enumerate(sizes[1:], 1):
            checkpoint.save(Path(folder) / str(step), {"state": state}, {"epoch": step}).result()
            target = set_up(make_mesh(size)).state
            state = checkpoint.restore(Path(folder) / str(step), {"state": target})["state"]
            got = by_name(named(state))
            where = jax.tree.map(lambda new, old: new.sharding == old.sharding, state.params, target.params)
            same.append(all(jax.tree.leaves(where)) and all(np.array_equal(got[name], expected[name]) for name in got))
    return same


def programs(sizes: list[str | None]) -> dict[str, dict[str, Any]]:
    """Return what the compiled steps exchange, hold in memory and call."""
    found = {}
    for size in sizes:
        made = set_up(make_mesh(size), width=32)
        program = compiled(made)
        memory, text = program.memory_analysis(), program.as_text()
        found[str(size)] = {
            "exchanged": {kind: sorted(shapes) for kind, shapes in collectives(program).items()},
            "parameters": sorted({_shape(leaf) for leaf in jax.tree.leaves(made.state.params)}),
            "held": memory.argument_size_in_bytes,
            "bytes": memory.argument_size_in_bytes + memory.temp_size_in_bytes,
            "convolutions": text.count('custom_call_target="jaxcnn_convolution"'),
            "others": text.count(" convolution("),
        }
    return found


def _shape(leaf: jax.Array) -> str:
    return f"f32[{','.join(map(str, leaf.shape))}]"


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    answer: dict[str, Any] = {
        "float64": compare(asked["float64"], "float64", 3, streamed=False),
        "mixed": mixed(asked["mixed"], 3),
        "streamed": compare(asked["streamed"], "float32", 3, streamed=True),
    }
    lowering.enable()
    answer["float32"] = compare(asked["float32"], "float32", 1, streamed=False)
    answer["programs"] = programs(asked["programs"])
    answer["moved"] = moved(asked["moved"])
    answer["shared"] = shared("data=4,model=2")
    print(json.dumps({**answer, "tier": lowering.status().tier, "devices": jax.device_count()}))
